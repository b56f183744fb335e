"""One way to run git: bounded in time, deaf to its surroundings, and clear when it fails."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from p2p.protocol.errors import ExternalError
from swarm.clean_env import clean_environment

LOCAL_TIMEOUT_S = 120.0
QUERY_TIMEOUT_S = 30.0  # ls-remote: one round trip
TRANSFER_TIMEOUT_S = 600.0  # fetch and push of a large repository
TERMINATE_GRACE_S = 2.0
ERROR_LINES_MAX = 12
ERROR_CHARS_MAX = 2_000

NETWORK_COMMANDS = frozenset({"clone", "fetch", "push", "ls-remote"})
# Hooks, file monitors and background upkeep of a clone that agents write to are not ours to run.
FIXED_OPTIONS = (
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "gc.auto=0"),
    *("-c", "maintenance.auto=false"),
    *("-c", "advice.detachedHead=false"),
    *("-c", "http.lowSpeedLimit=1"),
    *("-c", "http.lowSpeedTime=60"),
)
# How the machine's owner reaches remotes; every other GIT_ variable would redirect our commands.
KEPT_GIT_VARIABLES = frozenset(
    {
        "GIT_ASKPASS",
        "GIT_CONFIG_GLOBAL",
        "GIT_CONFIG_NOSYSTEM",
        "GIT_CONFIG_SYSTEM",
        "GIT_EXEC_PATH",
        "GIT_SSH",
        "GIT_SSH_COMMAND",
        "GIT_SSL_CAINFO",
        "GIT_SSL_CAPATH",
    }
)
DROPPED_PREFIXES = ("GIT_", "VOIDLUX_", "ANTHROPIC_", "DATABASE_URL", "REDIS_URL")

FIXED_VARIABLES = {
    "LC_ALL": "C",
    "GIT_TERMINAL_PROMPT": "0",
    "SSH_ASKPASS_REQUIRE": "never",
    "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
}
# What a stranger may have left in the home of a sandbox is no setting of ours.
INSIDE_VARIABLES = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}

Wrap = Callable[[Sequence[str]], list[str]]

_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded")
_wrap: ContextVar[Wrap | None] = ContextVar("wrap_of_git", default=None)
_CONTENTION = re.compile(r"\.lock': File exists|cannot lock ref|Unable to create '.*\.lock'")


@dataclass(frozen=True, slots=True)
class GitResult:
    """What a git command printed, decoded with replacement, and its exit code."""

    stdout: str
    stderr: str
    code: int


@contextlib.contextmanager
def git_inside(wrap: Wrap) -> Iterator[None]:
    """Let every git of this thread run inside of what `wrap` puts around a command line.

    It sees none of the variables through which the machine's owner reaches remotes.
    """
    token = _wrap.set(wrap)
    try:
        yield
    finally:
        _wrap.reset(token)


def redact(text: str) -> str:
    """Return `text` with the user and password of every URL replaced by `***`."""
    return _CREDENTIALS.sub("***@", text)


def run_git(
    args: Sequence[str],
    *,
    cwd: Path | None = None,
    timeout_s: float = LOCAL_TIMEOUT_S,
    env_extra: Mapping[str, str] | None = None,
    check: bool = True,
    stdin: str | None = None,
) -> GitResult:
    """Run `git args`; ExternalError on time-out, and on a non-zero exit where `check` is set."""
    process = _start(args, cwd, env_extra, reads=stdin is not None)
    try:
        fed = None if stdin is None else stdin.encode()
        stdout, stderr = process.communicate(fed, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        end_group(process)
        message = f"{_label(args)} ran longer than {timeout_s:g} s and was ended"
        raise ExternalError(message, retryable=True) from None
    except BaseException:
        end_group(process)
        raise
    result = GitResult(_text(stdout), _text(stderr), process.returncode)
    if check and result.code != 0:
        raise git_failure(args, result)
    return result


def git_failure(args: Sequence[str], result: GitResult) -> ExternalError:
    """Return the error of a failed command; retryable for the network and for held locks."""
    detail = "\n".join((result.stderr or result.stdout).strip().splitlines()[-ERROR_LINES_MAX:])
    message = f"{_label(args)} failed with exit code {result.code}: {detail[-ERROR_CHARS_MAX:]}"
    passing = any(word in NETWORK_COMMANDS for word in args[:1]) or result.code < 0  # a signal
    return ExternalError(
        redact(message), retryable=passing or bool(_CONTENTION.search(result.stderr))
    )


def tells_full_disk(text: str) -> bool:
    """Tell whether what a program printed says that the disk is full."""
    return bool(_DISK_FULL.search(text))


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End the process group that `process` leads: politely, then by force after a grace."""
    for signum in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signum)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=TERMINATE_GRACE_S)
            return
    # A helper that left the group, such as a kept ssh connection, may still hold the pipes.
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _start(
    args: Sequence[str], cwd: Path | None, env_extra: Mapping[str, str] | None, *, reads: bool
) -> subprocess.Popen[bytes]:
    wrap, argv = _wrap.get(), ["git", *FIXED_OPTIONS, *args]
    try:
        return subprocess.Popen(
            argv if wrap is None else wrap(argv),
            cwd=cwd,
            env=_environment(env_extra) if wrap is None else _environment_inside(env_extra),
            stdin=subprocess.PIPE if reads else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # no terminal to prompt on, and one group to end
        )
    except OSError as error:
        raise ExternalError(f"{_label(args)} cannot start: {error}", retryable=False) from error


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in KEPT_GIT_VARIABLES or not name.startswith(DROPPED_PREFIXES)
    }
    return {**kept, **FIXED_VARIABLES, **(extra or {})}


def _environment_inside(extra: Mapping[str, str] | None) -> dict[str, str]:
    return clean_environment({**FIXED_VARIABLES, **INSIDE_VARIABLES, **(extra or {})})


def _label(args: Sequence[str]) -> str:
    words = " ".join(args)
    return redact(f"git {words[:200]}")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", errors="replace")
