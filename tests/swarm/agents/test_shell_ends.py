"""How runs of shell blocks end: by themselves, by signals, by the end of their terminal."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from swarm.agents import run_block
from swarm.agents.shell import (
    RunKind,
    deliver,
    observe,
    prepare_run,
    stop,
)
from swarm.agents.tmux import TmuxServer
from tests.swarm.agents.shell_runs import run_to_its_end, start_sleeper, until_ended, until_kind
from tests.swarm.agents.waiting import wait_for


def test_a_killed_run_is_lost_and_its_survivors_are_named_and_ended(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    runner, block = start_sleeper(tmux, session, worktree, run_dir)
    os.kill(runner, signal.SIGKILL)
    state = until_kind(RunKind.LOST, tmux, session, run_dir)
    assert state.rule == "recorded_process_gone"
    assert state.evidence == (
        f"process {runner} is gone without an exit on record; "
        f"its block, process group {block}, still runs"
    )
    assert state.output_tail == "asleep\n"

    stopped = stop(tmux, session, run_dir)

    assert stopped.kind is RunKind.LOST
    assert stopped.evidence == f"process {runner} is gone without an exit on record"
    assert run_block.process_mark(block) is None


@pytest.mark.parametrize("delay_ms", range(0, 120, 6))
def test_a_kill_at_any_moment_leaves_the_truth(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path, delay_ms: int
) -> None:
    prepare_run(run_dir, script="touch ran\nsleep 0.02", worktree=worktree, env={})
    runner = subprocess.Popen(["sh", run_dir / "run.sh"], stdout=subprocess.DEVNULL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        runner.wait(delay_ms / 1000)
    runner.kill()
    runner.wait()

    seen = observe(tmux, session, run_dir)
    state = stop(tmux, session, run_dir)

    expected = {RunKind.NOT_STARTED: RunKind.LOST}.get(seen.kind, seen.kind)
    assert state.kind is expected and seen.kind is not RunKind.RUNNING
    assert "still runs" not in state.evidence
    if (worktree / "ran").exists():
        assert (run_dir / "started").exists() and (run_dir / "block").exists()
    if state.kind is RunKind.EXITED:
        assert state.code == 0 and (worktree / "ran").exists()


def test_survivors_are_found_after_the_leader_of_the_block_is_gone(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    runner, block = start_sleeper(tmux, session, worktree, run_dir)
    # Killed any sooner the leader would have left nobody behind.
    sleeper = ["pgrep", "-g", str(block), "-x", "sleep"]
    wait_for(lambda: subprocess.run(sleeper, stdout=subprocess.DEVNULL).returncode == 0)
    os.kill(runner, signal.SIGKILL)
    os.kill(block, signal.SIGKILL)
    wait_for(lambda: not any(map(run_block.process_mark, (runner, block))))
    assert "still runs" in observe(tmux, session, run_dir).evidence
    stop(tmux, session, run_dir)
    wait_for(lambda: not run_block.group_alive(block))


def test_a_reused_process_id_is_not_taken_for_the_run(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    prepare_run(run_dir, script="true", worktree=worktree, env={})
    mine = {"pid": os.getpid(), "mark": "1/1", "started_at": "2026-01-01T00:00:00+00:00"}
    (run_dir / "started").write_text(json.dumps(mine))
    (run_dir / "block").write_text(json.dumps({"pid": os.getpgrp(), "mark": "1/1"}))
    state = stop(tmux, session, run_dir)
    assert state.kind is RunKind.LOST
    assert "still runs" not in state.evidence


def test_marks_without_proc_agree_with_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_block, "HAS_PROC", False)
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as process:
        mark = run_block.process_mark(process.pid)
        assert mark is not None and mark == run_block.process_mark(process.pid)
        assert run_block.group_alive(process.pid)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        # Dead, though not reaped yet.
        assert run_block.process_mark(process.pid) is None
        assert not run_block.group_alive(process.pid)


def test_a_session_killed_before_the_start_is_lost(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    prepare_run(run_dir, script="true", worktree=worktree, env={})
    tmux.kill_session(session)
    state = observe(tmux, session, run_dir)
    assert (state.kind, state.rule) == (RunKind.LOST, "session_gone")
    assert state.evidence == "session 'agent-1' is gone, the run not started"


def test_a_shell_that_ended_before_the_start_is_lost(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    prepare_run(run_dir, script="true", worktree=worktree, env={})
    tmux.paste(session, "exit 5", enter=True)
    wait_for(lambda: tmux.pane_dead(session) is not None)
    state = observe(tmux, session, run_dir)
    assert (state.kind, state.rule) == (RunKind.LOST, "shell_ended")
    assert state.evidence == "the shell of session 'agent-1' ended with 5, the run not started"


def test_a_session_killed_meanwhile_ends_the_block_and_is_recorded(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    _, block = start_sleeper(tmux, session, worktree, run_dir)
    tmux.kill_session(session)
    state = until_ended(tmux, session, run_dir)
    assert (state.kind, state.code) == (RunKind.EXITED, 129)
    assert "after SIGHUP" in state.evidence
    assert run_block.process_mark(block) is None


def test_interrupting_in_the_terminal_is_recorded(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    start_sleeper(tmux, session, worktree, run_dir)
    tmux.interrupt(session)
    state = until_ended(tmux, session, run_dir)
    assert (state.kind, state.code) == (RunKind.EXITED, 130)


def test_stop_ends_a_run_and_leaves_the_session_usable(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    _, block = start_sleeper(tmux, session, worktree, run_dir)
    state = stop(tmux, session, run_dir)
    assert (state.kind, state.code) == (RunKind.EXITED, 130)
    assert run_block.process_mark(block) is None
    tmux.paste(session, "touch usable", enter=True)
    wait_for((worktree / "usable").exists)


def test_stop_ends_a_block_that_ignores_signals(
    tmux: TmuxServer,
    session: str,
    worktree: Path,
    run_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("swarm.agents.shell.INTERRUPT_WAIT_S", 0.2)
    monkeypatch.setattr("swarm.agents.shell.TERMINATE_WAIT_S", 0.2)
    _, block = start_sleeper(tmux, session, worktree, run_dir, "trap '' INT TERM HUP\n")
    state = stop(tmux, session, run_dir)
    assert (state.kind, state.code) == (RunKind.EXITED, 137)
    assert not run_block.group_alive(block)


def test_a_terminated_runner_kills_a_block_that_ignores_it(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    runner, _ = start_sleeper(tmux, session, worktree, run_dir, "trap '' INT TERM HUP\n")
    os.kill(runner, signal.SIGTERM)
    state = until_ended(tmux, session, run_dir)
    assert (state.kind, state.code) == (RunKind.EXITED, 137)


def test_a_run_stopped_before_its_start_never_starts(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    prepare_run(run_dir, script="touch ran", worktree=worktree, env={})
    assert stop(tmux, session, run_dir).rule == "stopped_before_start"
    assert deliver(tmux, session, run_dir) is False
    done = subprocess.run(["sh", run_dir / "run.sh"], capture_output=True, check=True)
    assert b"started before" in done.stdout
    assert not (worktree / "ran").exists()
    assert observe(tmux, session, run_dir).kind is RunKind.LOST


def test_stop_leaves_a_finished_run_as_it_is(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    ended = run_to_its_end(tmux, session, worktree, run_dir, "exit 4")
    assert stop(tmux, session, run_dir) == ended


def test_background_processes_end_with_the_block(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    state = run_to_its_end(
        tmux, session, worktree, run_dir, "sleep 1000 &\necho $! > background\necho end"
    )
    assert (state.code, state.output_tail) == (0, "end\n")
    pid = int((worktree / "background").read_text())
    wait_for(lambda: run_block.process_mark(pid) is None)
