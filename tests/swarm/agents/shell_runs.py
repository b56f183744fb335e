"""Runs of shell blocks in a terminal, and how they are waited for."""

from __future__ import annotations

import json
from pathlib import Path

from swarm.agents.shell import (
    RunKind,
    RunState,
    deliver,
    observe,
    output_tail,
    prepare_run,
)
from swarm.agents.tmux import TmuxServer
from tests.swarm.agents.waiting import wait_for


def run_to_its_end(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path, script: str
) -> RunState:
    """Run a script in the session's shell and return its end."""
    prepare_run(run_dir, script=script, worktree=worktree, env={})
    assert deliver(tmux, session, run_dir)
    return until_ended(tmux, session, run_dir)


def until_ended(tmux: TmuxServer, session: str, run_dir: Path) -> RunState:
    """Wait until the run has ended with a code, and return what is seen of it."""
    return until_kind(RunKind.EXITED, tmux, session, run_dir)


def until_kind(kind: RunKind, tmux: TmuxServer, session: str, run_dir: Path) -> RunState:
    """Wait until the run is in a state, and return what is seen of it."""
    wait_for(lambda: observe(tmux, session, run_dir).kind is kind)
    return observe(tmux, session, run_dir)


def start_sleeper(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path, first: str = ""
) -> tuple[int, int]:
    """Start a block that sleeps for ever; the process ids of its runner and of the block."""
    script = f"{first}echo asleep\ntouch asleep\nwhile :; do sleep 1000; done\n"
    prepare_run(run_dir, script=script, worktree=worktree, env={})
    deliver(tmux, session, run_dir)
    wait_for((worktree / "asleep").exists)
    wait_for(lambda: output_tail(run_dir) == "asleep\n")
    pids = [json.loads((run_dir / name).read_text())["pid"] for name in ("started", "block")]
    return pids[0], pids[1]
