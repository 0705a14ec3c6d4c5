"""The goodput benchmark is fair to LiteLLM: its Router benches, returns and falls back at the times it means to."""

from __future__ import annotations

import asyncio

import pytest
from benchmarks.goodput.contender import CURRENT
from benchmarks.goodput.litellm_configurations import CONFIGURATIONS, Configuration
from benchmarks.goodput.scenarios import scenario
from benchmarks.goodput.upstream import Upstream
from benchmarks.goodput.virtual_time import VirtualLoop, run
from benchmarks.goodput.workload import Job

from groq_fallback_mcp.call import Limit

pytest.importorskip("time_machine", reason="needed by the benchmark only")
pytestmark = pytest.mark.filterwarnings("ignore")

JOB = Job(
    number=0, arrives_s=0.0, deadline_s=30.0, use_case="fast", rank=0.5, overhead_s=0.2,
    input_tokens=900, max_tokens=1_000, output_tokens=100,
)  # fmt: skip
FIRST, SECOND = "llama-3.1-8b-instant", "openai/gpt-oss-20b"


CHAIN, GROUPS = CONFIGURATIONS[:2]
REFUSED, SERVED_BY_SECOND = [(FIRST, 429), (SECOND, 200)], [(SECOND, 200)]


@pytest.mark.parametrize(
    ("configuration", "meanwhile"), [(GROUPS, SERVED_BY_SECOND), (CHAIN, REFUSED)], ids=["in a group", "alone in its group"]
)
def test_a_refused_deployment_returns_after_retry_after_and_one_alone_in_its_group_never_rests(
    configuration: Configuration, meanwhile: list[tuple[str, int]]
) -> None:
    """1,800 tokens are missing: 18 s, while the second model serves. LiteLLM 1.110 does the same by the real clock."""
    from benchmarks.goodput.litellm_router import in_virtual_time, routers

    async def main(loop: VirtualLoop) -> list[list[tuple[str, int]]]:
        upstream = Upstream(loop, scenario("base"))
        (router,) = routers(configuration, 1, upstream, seed=1)
        CURRENT.set(JOB)
        upstream.limits.admit("org_simulated", FIRST, {Limit.TPM: 5_900.0})
        asked: list[list[tuple[str, int]]] = []
        for at_s in (0.0, 5.0, 17.9, 18.2):
            await asyncio.sleep(at_s - loop.time())
            before = len(upstream.sent)
            served = await router.serve(JOB)
            assert served is not None
            asked.append([(sent.model, sent.status) for sent in upstream.sent[before:]])
            assert served.model == asked[-1][-1][0]
        return asked

    with in_virtual_time() as watch:
        asked = run(main, watch=watch)

    assert asked == [REFUSED, meanwhile, meanwhile, [(FIRST, 200)]]
