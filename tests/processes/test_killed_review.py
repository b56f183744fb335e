"""A worker is killed while a language model reviews: it is asked again, and one verdict counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.processes.conftest import MakeNode
from tests.support.deals import small_repository, submit
from tests.support.llm_server import LlmServer, answer, running_llm, stalled
from tests.support.nodes import HOST, RealNode
from tests.support.waiting import wait_for

MODEL = "qwen3:32b"


def a_reviewed_node(make_node: MakeNode, llm: LlmServer) -> RealNode:
    return make_node(
        "node",
        agents="1",
        reviewer="llm",
        llm_provider=llm.provider,
        llm_model=MODEL,
        llm_host=HOST,
        llm_port=str(llm.port),
        llm_time_limit_s="120",
    ).start()


@pytest.mark.timeout(300)  # the client library is loaded twice, which takes a busy machine long
async def test_a_review_whose_worker_is_killed_is_asked_again(
    make_node: MakeNode, tmp_path: Path
) -> None:
    verdict = {"verdict": "accept", "reasons": "the lamp is lit"}
    with running_llm("ollama", [stalled('{"reasons": "it'), answer(verdict)]) as llm:
        node = a_reviewed_node(make_node, llm)
        repository = small_repository(tmp_path / "git").path
        deal = await submit(node, repository, "echo lit > lamp", test_command="")
        await wait_for(lambda: llm.requests, timeout_s=120)

        node.kill_worker()

        assert (await deal.ended(180.0))["status"] == "completed"
    assert len(llm.requests) == 2
    assert "+lit" in llm.requests[1].text
    [review] = node.items("/reviews")
    assert (review["state"], review["by"]) == ("accepted", f"llm:{MODEL}")
    assert outcomes(node) == [
        ("answered", "", 150),
        ("failed", "its worker ended before it", 0),
    ]


def outcomes(node: RealNode) -> list[tuple[str, str, int]]:
    """Return how each question ended, newest first: outcome, why, and tokens."""
    calls: list[dict[str, Any]] = node.items("/llm/calls")
    return [
        (each["outcome"], each["error"], each["tokens_in"] + each["tokens_out"]) for each in calls
    ]
