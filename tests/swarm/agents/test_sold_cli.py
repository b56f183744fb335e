"""An agent CLI that works for another swarm: in tmux, through a real `bwrap`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from p2p.clock import now_utc
from swarm.agents import isolation, prompt_runner
from swarm.agents.places import run_dir_of, worktree_of
from swarm.agents.tmux import TmuxServer
from swarm.mcp.access import McpAccess
from swarm.sandbox import bwrap
from swarm.services import attempts
from tests.support.agent_bench import Bench, running_bench
from tests.support.mcp_endpoint import mcp_endpoint
from tests.support.services import find_program
from tests.support.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

COMMIT = "echo hello > hello.txt && git add hello.txt && git commit -qm hello"
MCP = '\n[mcp]\nenvironment = { FAKE_MCP_URL = "{url}", FAKE_MCP_TOKEN = "{token}" }\n'


@pytest.fixture
async def bench(
    tmp_path: Path, tmux: TmuxServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bench]:
    """A bench whose next task is one that was sold; secrets lie in the node's home."""
    find_program(bwrap.PROGRAM)
    async with running_bench(tmp_path, monkeypatch) as bench:
        bench.tribute_id = uuid4()
        (bench.home / "api-token").write_text("a secret")
        yield bench


async def test_it_gets_its_prompt_works_and_says_so_over_mcp(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.fake.install(bench.home, MCP)
    looks = f"ls {bench.home} > seen; test ! -e {bench.home}/api-token"
    bench.fake.behave(
        commands=[looks, "ls -d /proc/[0-9]* | wc -l > processes", COMMIT], claim=True
    )
    with mcp_endpoint() as (url, calls):
        monkeypatch.setattr(prompt_runner, "config_for", lambda _: McpAccess(url, "t0ken"))
        await bench.assign()
        delivery = await bench.until_delivery("acknowledged")
        await wait_for(lambda: calls)
    attempt = await bench.attempt()
    assert isolation.in_cell(attempt)
    folder = run_dir_of(attempt) / isolation.CELL / "copies" / "0"
    assert bench.fake.prompts(folder) == [delivery.text]
    assert bench.fake.prompts() == [], "what it writes stays in its copy"

    await bench.claim()
    attempt = await bench.until_attempt("succeeded")

    called = {"task_id": attempt.task_id.hex, "summary": "did it", "commit": ""}
    assert calls == [("Bearer t0ken", {"name": "task_complete", "arguments": called})]
    assert bench.remote.refs()[f"refs/heads/{attempt.branch}"] == attempt.commit
    assert bench.remote.text(attempt.commit, "hello.txt") == "hello\n"
    assert bench.remote.text(attempt.commit, "seen") == "repositories\nruns\nworktrees\n"
    assert int(bench.remote.text(attempt.commit, "processes")) < 8
    await wait_for(lambda: not worktree_of(attempt).exists())


async def test_cancelling_ends_it_and_keeps_what_it_left(bench: Bench) -> None:
    bench.fake.behave(commands=["echo half > half.txt"], work_s=600)
    await bench.assign()
    await bench.until_delivery("acknowledged")
    attempt = await bench.attempt()
    inside = str(worktree_of(attempt))

    await bench.db(attempts.cancel, attempt.id, reason="not wanted", now=now_utc())
    bench.ring()

    await wait_for(lambda: not worktree_of(attempt).exists())
    assert [entry for entry in Path("/proc").glob("[0-9]*/cwd") if _leads_to(entry, inside)] == []
    assert json.loads((run_dir_of(attempt) / "worktree.json").read_text())["hooks"] == {}


def _leads_to(entry: Path, folder: str) -> bool:
    try:
        return str(entry.readlink()) == folder
    except OSError:
        return False
