"""What a fault does to a call."""

from __future__ import annotations

from starlette.responses import HTMLResponse, Response

from groq_fallback_mcp.simulator.options import Fault
from groq_fallback_mcp.simulator.rate_limits import duration_text
from groq_fallback_mcp.simulator.replies import JSON_FAILED, SIMULATED, TOOL_USE_FAILED, ApiError, failed_generation
from groq_fallback_mcp.simulator.world import ORGANIZATION, World

__all__ = ["halved", "meet"]

HANG_S = 3_600.0
# More than an ordinary call asks for, so that such a call fits when the stated wait is over.
REQUESTED = 4_000.0
MINUTE_S = 60.0
PAGE = "<html><head><title>502 Bad Gateway</title></head><body><center>cloudflare</center></body></html>"


async def meet(world: World, model: str, fault: Fault) -> Response | None:
    """The response the fault gives, or None where the call is served after all. Raises ApiError for refusals."""
    match fault.kind:
        case "502" | "html":
            return HTMLResponse(PAGE, status_code=502 if fault.kind == "502" else 200, headers=SIMULATED)
        case "empty":
            return Response(b"", media_type="application/json", headers=SIMULATED)
        case "hang":
            await world.clock.sleep(HANG_S if fault.seconds is None else fault.seconds)
            return None
        case "slow":
            await world.clock.sleep(1.0 if fault.seconds is None else fault.seconds)
            return None
        case "cut":
            return None
        case _:
            raise _refusal(model, fault, stated=world.options.send_retry_after)


def halved(reply: Response) -> Response:
    """The first half of the body, which claims to be all of it."""
    body = bytes(reply.body)
    return Response(body[: len(body) // 2], media_type=reply.media_type, headers=SIMULATED)


def _refusal(model: str, fault: Fault, *, stated: bool) -> ApiError:
    internal = "internal_server_error"
    refusals = {
        "401": ApiError(401, "Invalid API Key", code="invalid_api_key"),
        "403": _blocked(model, "organization", "org"),
        "model_permission_blocked_org": _blocked(model, "organization", "org"),
        "model_permission_blocked_project": _blocked(model, "project", "project"),
        # this text and the next are known but for their ends (facts page, section 3)
        "model_terms_required": ApiError(
            400,
            f"The model `{model}` requires terms acceptance. Please have the org admin accept the terms at "
            f"https://console.groq.com/playground?model={model} (simulated)",
            code="model_terms_required",
        ),
        "model_decommissioned": ApiError(
            400,
            f"The model `{model}` has been decommissioned and is no longer supported. (simulated)",
            code="model_decommissioned",
        ),
        "tool_use_failed": failed_generation("tool_use_failed", TOOL_USE_FAILED, "<function=simulated{"),
        "json_validate_failed": failed_generation("json_validate_failed", JSON_FAILED, '{"answer": simulated'),
        "404": ApiError(404, f"The model `{model}` does not exist or you do not have access to it.", code="model_not_found"),
        "429": _limited(model, fault, stated=stated),
        "498": ApiError(498, "Flex tier capacity exceeded", code="capacity_exceeded", type="capacity_exceeded"),
        "500": ApiError(500, "Internal Server Error", type=internal),
        "503": ApiError(
            503, f"{model} is currently over capacity. Please try again and back off exponentially.", type=internal
        ),
    }
    return refusals[fault.kind]


def _blocked(model: str, level: str, code: str) -> ApiError:
    # of the project's text only the code is known
    message = f"The model `{model}` is blocked at the {level} level. Please have the {code} admin enable it."
    return ApiError(403, message, code=f"model_permission_blocked_{code}", type="permissions_error")


def _limited(model: str, fault: Fault, *, stated: bool) -> ApiError:
    """A 429 of the organization's other traffic: the figures agree with the wait, on a limit that can make it so long."""
    wait_s = 2.0 if fault.seconds is None else fault.seconds
    words, capacity, window_s = ("tokens per day (TPD)", 200_000, 86_400.0)
    if wait_s <= MINUTE_S:
        words, capacity, window_s = ("tokens per minute (TPM)", 8_000, MINUTE_S)
    refill = wait_s * capacity / window_s
    requested = max(REQUESTED, refill)
    text = (
        f"Rate limit reached for model `{model}` in organization `{ORGANIZATION}` service tier `on_demand` on {words}: "
        f"Limit {capacity}, Used {capacity - requested + refill:.0f}, Requested {requested:.0f}. "
        f"Please try again in {duration_text(wait_s)}."
    )
    headers = {"retry-after": f"{wait_s:.3f}".rstrip("0").rstrip(".")} if stated else {}
    return ApiError(429, text, code="rate_limit_exceeded", type="tokens", headers=headers)
