"""Limits: texts, waits that are exact, headers, and who shares a bucket with whom."""

from __future__ import annotations

import re

import pytest
from fake_clock import FakeClock
from hypothesis import given
from hypothesis import strategies as st
from simulator.rig import MODEL, OpenRig, Rig, message, silence

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.simulator.rate_limits import Charge, Limits, Refusal, duration_text

STATED = re.compile(r"Limit (\d+), Used (\d+), Requested (\d+)\. Please try again in ([0-9hms.]+)\.")
UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
HAIR_S = 0.002


def read_duration(text: str) -> float:
    """Seconds; a second reading of the format, to check the first."""
    parts = re.findall(r"([\d.]+)(ms|h|m|s)", text)
    assert "".join(number + unit for number, unit in parts) == text
    return sum(float(number) * UNITS[unit] for number, unit in parts)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0ms"),
        (0.825, "825ms"),
        (6.0, "6s"),
        (7.66, "7.66s"),
        (17.36, "17.36s"),
        (60.0, "1m0s"),
        (179.56, "2m59.56s"),
        (578.016, "9m38.016s"),
        (6825.6, "1h53m45.6s"),
        (0.9996, "1s"),
        (59.9996, "1m0s"),
        (-3.0, "0ms"),
    ],
)
def test_durations_are_written_as_groq_writes_them(seconds: float, text: str) -> None:
    """Values really seen, and the edges of units."""
    assert duration_text(seconds) == text


@given(st.floats(min_value=0, max_value=200_000))
def test_a_written_duration_reads_back_to_the_millisecond(seconds: float) -> None:
    """Whatever its length."""
    assert read_duration(duration_text(seconds)) == pytest.approx(seconds, abs=0.000_501)


@pytest.mark.anyio
async def test_79_requests_of_1000_reset_in_1h53m45_6s(open_rig: OpenRig) -> None:
    """The value really seen in x-ratelimit-reset-requests: the time until the bucket is full."""
    rig = open_rig(latency_scale=0.0, limits={MODEL: {"rpd": 1000, "tpm": 100_000}})
    for _ in range(79):
        reply = await rig.chat()
    assert reply.headers["x-ratelimit-limit-requests"] == "1000"
    assert reply.headers["x-ratelimit-remaining-requests"] == "921"
    assert reply.headers["x-ratelimit-reset-requests"] == "1h53m45.6s"


@pytest.mark.anyio
async def test_tokens_headers_count_a_minute_and_refill_continuously(open_rig: OpenRig) -> None:
    """8,000 a minute are 133 a second; a stopped clock refills nothing."""
    rig = open_rig(latency_scale=0.0, refund_unused=False)
    first = await rig.chat("x" * 400, max_completion_tokens=3_896)
    assert first.headers["x-ratelimit-limit-tokens"] == "8000"
    assert first.headers["x-ratelimit-remaining-tokens"] == "4000"
    assert first.headers["x-ratelimit-reset-tokens"] == "30s"
    rig.clock.advance(15)
    assert (await rig.chat(n=2)).headers["x-ratelimit-remaining-tokens"] == "6000"


@pytest.mark.anyio
async def test_more_than_the_whole_bucket_is_a_413_in_groqs_words(rig: Rig) -> None:
    """No retry-after: it can never fit."""
    reply = await rig.chat("x" * 400, max_completion_tokens=8_000)
    assert reply.status_code == 413
    assert reply.json()["error"] == {
        "message": (
            f"Request too large for model `{MODEL}` in organization `org_simulated` service tier `on_demand` on tokens per minute "
            "(TPM): Limit 8000, Requested 8104, please reduce your message size and try again."
        ),
        "type": "tokens",
        "code": "rate_limit_exceeded",
    }
    assert "retry-after" not in reply.headers
    assert (await rig.chat()).status_code == 200


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("limits", "first", "then", "words", "kind"),
    [
        ({"tpm": 6000}, 5_810, 1_822, "tokens per minute (TPM)", "tokens"),
        ({"tpm": 7001}, 5_813, 1_997, "tokens per minute (TPM)", "tokens"),
        ({"tpd": 200_000}, 65_000, 65_001, "tokens per day (TPD)", "tokens"),
        ({"rpm": 1}, 10, 10, "requests per minute (RPM)", "requests"),
        ({"rpd": 1}, 10, 10, "requests per day (RPD)", "requests"),
    ],
)
async def test_after_exactly_the_stated_wait_a_call_is_admitted_and_a_hair_before_it_is_not(
    limits: dict[str, int], first: int, then: int, words: str, kind: str, open_rig: OpenRig
) -> None:
    """The wait is (used + requested - limit) / (limit / window)."""
    rig = open_rig(latency_scale=0.0, refund_unused=False, limits={MODEL: limits})
    while (reply := await rig.chat("x" * 400, max_completion_tokens=first)).status_code == 200:
        pass
    if first != then:
        reply = await rig.chat("x" * 400, max_completion_tokens=then)
    error, stated = reply.json()["error"], STATED.search(message(reply))
    assert stated is not None
    assert (reply.status_code, error["code"], error["type"]) == (429, "rate_limit_exceeded", kind)
    assert (
        f"Rate limit reached for model `{MODEL}` in organization `org_simulated` service tier `on_demand` on {words}:"
        in message(reply)
    )
    limit, used, requested = (int(figure) for figure in stated.groups()[:3])
    window_s = 60 if words.endswith("M)") else 86_400
    wait_s = read_duration(stated[4])
    assert wait_s == pytest.approx((used + requested - limit) * window_s / limit, abs=0.001)
    assert wait_s <= int(reply.headers["retry-after"]) < wait_s + 1
    rig.clock.advance(wait_s - HAIR_S)
    assert (await rig.chat("x" * 400, max_completion_tokens=then)).status_code == 429
    rig.clock.advance(HAIR_S)
    assert (await rig.chat("x" * 400, max_completion_tokens=then)).status_code == 200


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("limit", "words"), [("ash", "seconds of audio per hour (ASPH)"), ("asd", "seconds of audio per day (ASPD)")]
)
async def test_audio_limits_have_texts_of_their_own(limit: str, words: str, open_rig: OpenRig) -> None:
    """Ten seconds are billed at least."""
    rig = open_rig(latency_scale=0.0, limits={"whisper-large-v3-turbo": {limit: 15}})
    assert (await rig.hear(silence(1))).status_code == 200
    reply = await rig.hear(silence(1))
    assert reply.status_code == 429
    assert f"on {words}: Limit 15, Used 10, Requested 10. " in message(reply)


@pytest.mark.anyio
async def test_a_429_on_requests_per_minute_comes_without_tokens_headers(open_rig: OpenRig) -> None:
    """As it was seen."""
    rig = open_rig(latency_scale=0.0, limits={MODEL: {"rpm": 1, "rpd": 1000, "tpm": 8000}})
    good, refused = await rig.chat(), await rig.chat()
    assert "x-ratelimit-remaining-tokens" in good.headers
    assert refused.status_code == 429
    assert not [name for name in refused.headers if name.endswith("-tokens")]
    assert refused.headers["x-ratelimit-remaining-requests"] == "999"
    assert refused.headers["retry-after"] == "60"


@pytest.mark.anyio
async def test_retry_after_can_be_left_out(open_rig: OpenRig) -> None:
    """The text still states the wait; a fault's 429 leaves it out too."""
    rig = open_rig(latency_scale=0.0, limits={MODEL: {"rpm": 1}}, send_retry_after=False)
    await rig.chat()
    refused = await rig.chat()
    await rig.client.post("/simulator/faults", json=["*=429:5"])
    fault = await rig.chat()
    assert [reply.status_code for reply in (refused, fault)] == [429, 429]
    assert "try again in 1m0s" in message(refused)
    assert [reply for reply in (refused, fault) if "retry-after" in reply.headers] == []


@pytest.mark.anyio
@pytest.mark.parametrize("refund", [True, False])
async def test_tokens_not_used_are_given_back_or_not(refund: bool, open_rig: OpenRig) -> None:
    """The claim is prompt and max_completion_tokens, the use what the answer reports."""
    rig = open_rig(latency_scale=0.0, refund_unused=refund)
    reply = await rig.chat("one two three four", max_completion_tokens=2_996)
    usage = reply.json()["usage"]
    spent = usage["total_tokens"] if refund else usage["prompt_tokens"] + 2_996
    assert int(reply.headers["x-ratelimit-remaining-tokens"]) == 8_000 - spent


@pytest.mark.anyio
async def test_keys_of_one_organization_share_buckets_and_others_do_not(open_rig: OpenRig) -> None:
    """Unknown keys share the default organization."""
    rig = open_rig(latency_scale=0.0, limits={MODEL: {"rpm": 2}}, organizations={"gsk_c": "org_c", "gsk_d": "org_c"})
    statuses = [(await rig.chat(key=key)).status_code for key in ("gsk_a", "gsk_b", "gsk_a", "gsk_c", "gsk_d")]
    refused = await rig.chat(key="gsk_d")
    assert statuses == [200, 200, 429, 200, 200]
    assert "in organization `org_c`" in message(refused)


@pytest.mark.anyio
async def test_models_do_not_share_buckets(open_rig: OpenRig) -> None:
    """One is used up, the other is full."""
    rig = open_rig(latency_scale=0.0, limits={MODEL: {"rpm": 1}})
    statuses = [(await rig.chat(model=model)).status_code for model in (MODEL, MODEL, "openai/gpt-oss-120b")]
    assert statuses == [200, 429, 200]


@pytest.mark.anyio
async def test_the_plan_decides_the_limits(open_rig: OpenRig) -> None:
    """The catalog's figures for free and developer."""
    limits = [(await open_rig(plan=plan).chat()).headers["x-ratelimit-limit-tokens"] for plan in ("free", "developer")]
    assert limits == ["8000", "250000"]


CALLS = st.lists(st.tuples(st.floats(0, 20), st.integers(1, 130)), min_size=1, max_size=40)


def _limits(clock: FakeClock) -> Limits:
    return Limits(clock=clock, tables={"m": {Limit.TPM: 100, Limit.RPM: 7}})


@given(CALLS)
def test_what_is_admitted_in_any_window_is_at_most_the_capacity_and_its_refill(calls: list[tuple[float, int]]) -> None:
    """For both limits at once."""
    clock = FakeClock()
    limits = _limits(clock)
    admitted: list[tuple[float, int]] = []
    for pause_s, tokens in calls:
        clock.advance(pause_s)
        if isinstance(limits.admit("o", "m", {Limit.RPM: 1.0, Limit.TPM: float(tokens)}), Charge):
            admitted.append((clock.monotonic(), tokens))
    for start, (since, _) in enumerate(admitted):
        for end in range(start, len(admitted)):
            window = admitted[start : end + 1]
            span_s = window[-1][0] - since
            assert sum(tokens for _, tokens in window) <= 100 + span_s * 100 / 60 + 0.001
            assert len(window) <= 7 + span_s * 7 / 60 + 0.001


@given(CALLS, st.integers(1, 200))
def test_a_refusal_spends_nothing(calls: list[tuple[float, int]], refused: int) -> None:
    """Of any limit, not even of those that had room."""
    clock = FakeClock()
    limits = _limits(clock)
    for pause_s, tokens in calls:
        clock.advance(pause_s)
        limits.admit("o", "m", {Limit.RPM: 1.0, Limit.TPM: float(tokens)})
    levels = {limit: limits._bucket("o", "m", limit, clock.monotonic()).used for limit in (Limit.RPM, Limit.TPM)}  # type: ignore[union-attr]
    if isinstance(limits.admit("o", "m", {Limit.RPM: 1.0, Limit.TPM: float(refused)}), Refusal):
        after = {limit: limits._bucket("o", "m", limit, clock.monotonic()).used for limit in levels}  # type: ignore[union-attr]
        assert after == levels


@given(CALLS, st.integers(1, 100))
def test_whoever_waits_as_long_as_each_refusal_says_is_admitted(calls: list[tuple[float, int]], wanted: int) -> None:
    """After one wait for each limit at the most."""
    clock = FakeClock()
    limits = _limits(clock)
    for pause_s, tokens in calls:
        clock.advance(pause_s)
        limits.admit("o", "m", {Limit.RPM: 1.0, Limit.TPM: float(tokens)})
    for _ in range(2):
        answer = limits.admit("o", "m", {Limit.RPM: 1.0, Limit.TPM: float(wanted)})
        if isinstance(answer, Charge):
            return
        clock.advance(read_duration(duration_text(answer.wait_s)))
    assert isinstance(limits.admit("o", "m", {Limit.RPM: 1.0, Limit.TPM: float(wanted)}), Charge)
