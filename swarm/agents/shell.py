"""The `shell` tool: runs a task's shell block in an agent's terminal, with evidence on disk.

A node that was killed at any point learns from the run's directory what happened meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from p2p.protocol.errors import ExternalError
from swarm.agents import run_block
from swarm.agents.block_files import (
    WRAPPER,
    check_path,
    output_tail,
    prepare_run,
    read_record,
)
from swarm.agents.tmux import TmuxServer

__all__ = ["RunKind", "RunState", "deliver", "observe", "output_tail", "prepare_run", "stop"]

INTERRUPT_WAIT_S = 2.0
TERMINATE_WAIT_S = run_block.KILL_AFTER_S + 1.0
KILL_WAIT_S = 2.0
POLL_S = 0.02


class RunKind(StrEnum):
    """What is known of a run."""

    NOT_STARTED = "not_started"
    RUNNING = "running"
    EXITED = "exited"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class RunState:
    """A run as observed: `source` is what was looked at, `rule` what decided, `evidence` why."""

    kind: RunKind
    source: str
    rule: str
    evidence: str
    pid: int | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    code: int | None = None
    output_tail: str = ""


def deliver(tmux: TmuxServer, session: str, run_dir: Path) -> bool:
    """Type the run's start into the session; False, and nothing typed, when it has started.

    Typing it again is harmless: a run starts once, ever. Raises ExternalError when the session
    or its shell is gone.
    """
    if (run_dir / run_block.STARTED).exists():
        return False
    check_path(run_dir)
    # The leading space keeps it out of the history of shells that have one.
    tmux.paste(session, f" sh {shlex.quote(str(run_dir / WRAPPER))}", enter=True)
    return True


def observe(tmux: TmuxServer, session: str, run_dir: Path) -> RunState:
    """Tell what became of the run, from its files first, then its process, then its session.

    A lost run's block may have survived (the evidence says so): `stop` ends it.
    """
    exited = _exited(run_dir)
    if exited is not None:
        return exited
    started = read_record(run_dir / run_block.STARTED)
    if started is None:
        return _observe_unstarted(tmux, session, run_dir)
    if started.get("stopped_before_start"):
        return _lost("started file", "stopped_before_start", "it was stopped before it started")
    if _is_alive(started):
        return _running(started)
    # It may have written its exit and ended between the two looks.
    return _exited(run_dir) or _lost_after_start(run_dir, started)


def stop(tmux: TmuxServer, session: str, run_dir: Path) -> RunState:
    """End the run within about 12 s: INT, then TERM, then KILL; return what it then is.

    A run that has not started never will.
    """
    refusal: dict[str, object] = {"stopped_before_start": True, "at": run_block.now_text()}
    run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not run_block.write_exclusive(run_dir / run_block.STARTED, refusal):
        _end_runner(run_dir)
        _end_block(run_dir)
    return observe(tmux, session, run_dir)


def _exited(run_dir: Path) -> RunState | None:
    ended = read_record(run_dir / run_block.EXIT)
    if ended is None:
        return None
    by_signal = f" after {ended['signal']}" if ended.get("signal") else ""
    return RunState(
        kind=RunKind.EXITED,
        source="exit file",
        rule="exit_recorded",
        evidence=f"the block ended with {ended['code']}{by_signal} at {ended['ended_at']}",
        started_at=_time_of(read_record(run_dir / run_block.STARTED), "started_at"),
        ended_at=_time_of(ended, "ended_at"),
        code=int(ended["code"]),
        output_tail=output_tail(run_dir),
    )


def _running(started: dict[str, Any]) -> RunState:
    return RunState(
        kind=RunKind.RUNNING,
        source="process",
        rule="recorded_process_alive",
        evidence=f"process {started['pid']} runs since {started['started_at']}",
        pid=int(started["pid"]),
        started_at=_time_of(started, "started_at"),
    )


def _observe_unstarted(tmux: TmuxServer, session: str, run_dir: Path) -> RunState:
    try:
        status = tmux.pane_dead(session)
    except ExternalError:
        if tmux.has_session(session):
            raise
        return _lost("tmux", "session_gone", f"session '{session}' is gone, the run not started")
    if status is not None:
        evidence = f"the shell of session '{session}' ended with {status}, the run not started"
        return _lost("tmux", "shell_ended", evidence)
    evidence = f"no start on record in {run_dir.name}; session '{session}' lives"
    return RunState(RunKind.NOT_STARTED, "started file", "no_start_recorded", evidence)


def _lost_after_start(run_dir: Path, started: dict[str, Any]) -> RunState:
    evidence = f"process {started['pid']} is gone without an exit on record"
    survivors = _block_group(run_dir)
    if survivors is not None:
        evidence += f"; its block, process group {survivors}, still runs"
    return _lost(
        "process",
        "recorded_process_gone",
        evidence,
        started_at=_time_of(started, "started_at"),
        output_tail=output_tail(run_dir),
    )


def _lost(source: str, rule: str, evidence: str, **more: Any) -> RunState:
    return RunState(RunKind.LOST, source, rule, evidence, **more)


def _end_runner(run_dir: Path) -> None:
    """Ask the runner twice, then kill its block, which lets it record the end, then itself."""

    def is_over() -> bool:
        return not _is_alive(read_record(run_dir / run_block.STARTED))

    steps = ((signal.SIGINT, INTERRUPT_WAIT_S), (signal.SIGTERM, TERMINATE_WAIT_S))
    for number, wait_s in steps:
        if is_over():
            return
        _signal_recorded(run_dir, number)
        _wait_until(is_over, wait_s)
    if not is_over():
        _end_block(run_dir)
        _wait_until(is_over, KILL_WAIT_S / 2)
    if not is_over():
        _signal_recorded(run_dir, signal.SIGKILL)
        _wait_until(is_over, KILL_WAIT_S / 2)


def _end_block(run_dir: Path) -> None:
    group = _block_group(run_dir)
    if group is None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    _wait_until(lambda: _block_group(run_dir) is None, KILL_WAIT_S)


def _block_group(run_dir: Path) -> int | None:
    """The id of the block's process group while it has members that can be told to be ours."""
    block = read_record(run_dir / run_block.BLOCK)
    if block is None or not block.get("mark"):
        return None
    group = int(block["pid"])
    current = run_block.process_mark(group)
    if current is not None:
        return group if current == block["mark"] else None
    # The leader is gone. Its number stays taken while the group has members, on the same boot.
    same_boot = run_block.boot_mark() == str(block["mark"]).partition("/")[2]
    return group if same_boot and run_block.group_alive(group) else None


def _is_alive(started: dict[str, Any] | None) -> bool:
    if started is None or not started.get("mark"):
        return False
    return run_block.process_mark(int(started["pid"])) == started["mark"]


def _signal_recorded(run_dir: Path, number: int) -> None:
    started = read_record(run_dir / run_block.STARTED)
    if started is not None and _is_alive(started):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(started["pid"]), number)


def _wait_until(is_over: Callable[[], bool], limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while not is_over() and time.monotonic() < deadline:
        time.sleep(POLL_S)


def _time_of(fields: dict[str, Any] | None, name: str) -> datetime | None:
    text = (fields or {}).get(name)
    return datetime.fromisoformat(text) if text else None
