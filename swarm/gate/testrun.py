"""Run a project's test command: bounded, supervised, and without the node's secrets."""

from __future__ import annotations

import contextlib
import json
import math
import selectors
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from p2p.protocol.errors import DomainError, ExternalError
from swarm.clean_env import clean_environment

LOG_HEAD_BYTES = 5_000_000
LOG_TAIL_BYTES = 5_000_000
OUTPUT_TAIL_CHARS = 4_000
TIME_LIMIT_MAX_S = 86_400.0
SUPERVISOR_GRACE_S = 30.0  # beyond the time limit; then the supervisor itself is taken for lost
# Compiled files in the worktree would look like an agent's unsaved work.
TEST_ENVIRONMENT = {"PYTHONDONTWRITEBYTECODE": "1"}
SUPERVISOR = Path(__file__).with_name("supervise.py")


@dataclass(frozen=True, slots=True)
class TestOutcome:
    """What a test command did; `exit_code` is None where the time limit ended it."""

    __test__: ClassVar[bool] = False  # keeps pytest from collecting it

    passed: bool
    exit_code: int | None
    timed_out: bool
    duration_s: float
    output_tail: str
    log_path: Path


def run_test_command(
    command: str,
    *,
    cwd: Path,
    log_path: Path,
    time_limit_s: float,
    env: Mapping[str, str] | None = None,
    wrap: Callable[[Sequence[str]], list[str]] = list,
) -> TestOutcome:
    """Run `command` with `sh -c` in `cwd` and return what it did; output goes to `log_path`.

    `wrap` turns the command line into that of a sandbox around it.

    DomainError `bad_test_command` for an empty command or limit; ExternalError where it cannot
    start.  Everything the command started has ended on return, and soon after our own death.
    """
    _require_sensible(command, time_limit_s)
    log_path.parent.mkdir(parents=True, exist_ok=True)
    request = {
        "argv": wrap(["/bin/sh", "-c", command]),
        "log": str(log_path.resolve()),
        "time_limit_s": time_limit_s,
        "head_bytes": LOG_HEAD_BYTES,
        "tail_bytes": LOG_TAIL_BYTES,
    }
    environment = clean_environment({**TEST_ENVIRONMENT, **(env or {})})
    answer = supervise(request, cwd, environment, what="test command")
    timed_out = bool(answer["timed_out"])
    exit_code = None if timed_out else int(answer["exit_code"])
    return TestOutcome(
        passed=exit_code == 0,
        exit_code=exit_code,
        timed_out=timed_out,
        duration_s=float(answer["duration_s"]),
        output_tail=read_tail(log_path),
        log_path=log_path,
    )


def read_tail(log_path: Path, chars: int = OUTPUT_TAIL_CHARS) -> str:
    """Return the last characters of a log, with what is not text replaced."""
    with log_path.open("rb") as log:
        log.seek(0, 2)
        log.seek(max(0, log.tell() - 4 * chars))
        text = log.read().decode("utf-8", errors="replace")
    return text.replace("\0", "\ufffd")[-chars:]


def _require_sensible(command: str, time_limit_s: float) -> None:
    if not command.strip() or "\0" in command:
        raise DomainError("bad_test_command", "the test command is empty or holds a zero byte", 422)
    if not (math.isfinite(time_limit_s) and 0 < time_limit_s <= TIME_LIMIT_MAX_S):
        message = f"time limit of {time_limit_s} s is outside 0 to {TIME_LIMIT_MAX_S:g} s"
        raise DomainError("bad_test_command", message, 422)


def supervise(
    request: dict[str, Any], cwd: Path, env: dict[str, str], *, what: str
) -> dict[str, Any]:
    """Run what `supervise.py` is asked for and return its answer; errors name it as `what`.

    ExternalError where it cannot start, retryable where its supervisor was ended.
    """
    try:
        supervisor = subprocess.Popen(
            [sys.executable, "-I", str(SUPERVISOR)],
            cwd=cwd,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # survives a signal to our group, to clean up after us
        )
    except OSError as error:
        raise ExternalError(f"{what} cannot start: {error}", retryable=False) from error
    with supervisor:
        try:
            return _converse(supervisor, request, what)
        except BaseException:
            _give_up(supervisor)
            raise


def _converse(
    supervisor: subprocess.Popen[bytes], request: dict[str, Any], what: str
) -> dict[str, Any]:
    assert supervisor.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # a supervisor that died gives no answer either
        supervisor.stdin.write(json.dumps(request).encode() + b"\n")
        supervisor.stdin.flush()
    raw = _read_answer(supervisor, request["time_limit_s"] + SUPERVISOR_GRACE_S)
    answer: dict[str, Any] = json.loads(raw or b"{}")
    if "error" in answer:
        raise ExternalError(f"{what} cannot start: {answer['error']}", retryable=False)
    if "exit_code" not in answer:
        raise ExternalError(f"the supervisor of the {what} was ended", retryable=True)
    return answer


def _read_answer(supervisor: subprocess.Popen[bytes], timeout_s: float) -> bytes:
    """Return the answer's line; empty where the supervisor ended or hangs without one."""
    assert supervisor.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(supervisor.stdout, selectors.EVENT_READ)
        return supervisor.stdout.readline() if selector.select(timeout_s) else b""


def _give_up(supervisor: subprocess.Popen[bytes]) -> None:
    """Let go of the supervisor's input, upon which it ends its command; force it if it hangs."""
    assert supervisor.stdin is not None
    with contextlib.suppress(OSError):
        supervisor.stdin.close()
    try:
        supervisor.wait(SUPERVISOR_GRACE_S)
    except subprocess.TimeoutExpired:
        supervisor.kill()
