"""Run one command so that nothing of it outlives its time limit or the worker that asked.

Started as a program of its own (`python -I supervise.py`), standard library only.  Standard input
carries one JSON line with argv, log, time_limit_s, head_bytes and tail_bytes, and then stays
open: its end means that the worker died.  With `input` the command reads that file, with `errors`
its standard error goes to a log of its own.  Standard output answers with one JSON line:
exit_code, timed_out and duration_s, or interrupted, or error.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

READ_BYTES = 65_536
TERMINATE_GRACE_S = 2.0
DRAIN_S = 1.0  # output that is still in the pipe when everything has ended
STRAY_POLL_S = 0.005
PR_SET_CHILD_SUBREAPER = 36


class BoundedLog:
    """A file that keeps the head and the tail of what is written, and says what it left out."""

    def __init__(self, path: str, head_bytes: int, tail_bytes: int) -> None:
        """Open `path` afresh; OSError where that fails."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self._head_left = head_bytes
        self._tail_bytes = tail_bytes
        self._tail = bytearray()
        self._left_out = 0

    def write(self, data: bytes) -> None:
        """Write to the head while it has room, then keep only the last bytes."""
        head, rest = data[: self._head_left], data[self._head_left :]
        self._head_left -= len(head)
        self._put(head)
        self._tail += rest
        if len(self._tail) > 2 * self._tail_bytes:
            self._trim()

    def close(self) -> None:
        """Write the line about what was left out, and the tail."""
        self._trim()
        if self._left_out:
            self._put(b"\n[... %d bytes left out ...]\n" % self._left_out)
        self._put(self._tail)
        self._file.close()

    def _trim(self) -> None:
        surplus = max(0, len(self._tail) - self._tail_bytes)
        self._left_out += surplus
        del self._tail[:surplus]

    def _put(self, data: bytes | bytearray) -> None:
        # A full disk costs the log, not the verdict: the exit code still decides.
        with contextlib.suppress(OSError):
            self._file.write(data)


class Supervisor:
    """One command in a process group of its own, watched until nothing of it is left."""

    def __init__(self, request: dict[str, Any]) -> None:
        """Start the command; OSError where program or log cannot be opened."""
        bounds = request["head_bytes"], request["tail_bytes"]
        output = BoundedLog(request["log"], *bounds)
        errors = BoundedLog(request["errors"], *bounds) if "errors" in request else None
        self._started = time.monotonic()
        self._deadline = self._started + request["time_limit_s"]
        with Path(request.get("input", os.devnull)).open("rb") as given:
            self._process = subprocess.Popen(
                request["argv"],
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE if errors else subprocess.STDOUT,
                start_new_session=True,
            )
        self._selector = selectors.DefaultSelector()
        self._logs: dict[int, BoundedLog] = {}
        self._follow(self._process.stdout, output)
        self._follow(self._process.stderr, errors)
        self._interrupted = False

    def run(self, wake: int) -> dict[str, Any]:
        """Watch until the end; `wake` is a descriptor that turns readable with each signal."""
        self._selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
        self._selector.register(wake, selectors.EVENT_READ)
        self._watch(self._deadline)
        timed_out = not self._ended() and not self._interrupted
        duration_s = time.monotonic() - self._started
        if timed_out:
            self._signal_group(signal.SIGTERM)
            self._watch(time.monotonic() + TERMINATE_GRACE_S)
        self._signal_group(signal.SIGKILL)
        _end_strays()
        self._drain()
        code = self._process.wait()
        for log in self._logs.values():
            log.close()
        if self._interrupted:
            return {"interrupted": True}
        return {"exit_code": code, "timed_out": timed_out, "duration_s": duration_s}

    def _follow(self, pipe: IO[bytes] | None, log: BoundedLog | None) -> None:
        if pipe is None or log is None:
            return
        os.set_blocking(pipe.fileno(), False)
        self._selector.register(pipe, selectors.EVENT_READ)
        self._logs[pipe.fileno()] = log

    def _watch(self, deadline: float) -> None:
        """Log output until the command ends, the worker dies or `deadline` passes."""
        while not self._ended() and not self._interrupted:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return
            for key, _ in self._selector.select(left_s):
                self._take(key.fd)

    def _take(self, descriptor: int) -> None:
        if descriptor in self._logs:
            self._copy(descriptor)
        elif descriptor == sys.stdin.fileno():
            # Nothing is ever sent after the request: readable means that the worker is gone.
            self._interrupted = True
        else:
            signals = os.read(descriptor, READ_BYTES)
            self._interrupted |= signal.SIGTERM in signals or signal.SIGINT in signals

    def _copy(self, descriptor: int) -> bool:
        """Log one block of a pipe; False where it holds nothing now."""
        try:
            data = os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            return False
        self._logs[descriptor].write(data)
        if not data and descriptor in self._selector.get_map():
            self._selector.unregister(descriptor)
        return bool(data)

    def _drain(self) -> None:
        """Log what is still in the pipes once their writers have ended."""
        deadline = time.monotonic() + DRAIN_S
        for descriptor in self._logs:
            while self._copy(descriptor) and time.monotonic() < deadline:
                pass

    def _ended(self) -> bool:
        # WNOWAIT leaves the zombie, so that its group's number cannot be taken by a stranger.
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, options) is not None

    def _signal_group(self, signum: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signum)


def _end_strays() -> None:
    """End what left the group, until two looks in a row find nothing alive below us."""
    deadline = time.monotonic() + TERMINATE_GRACE_S
    quiet_looks = 0  # one look may miss a process that is handed on while we read
    while quiet_looks < 2 and time.monotonic() < deadline:
        strays = _live_descendants()
        quiet_looks = 0 if strays else quiet_looks + 1
        for pid in strays:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(STRAY_POLL_S)


def _live_descendants() -> list[int]:
    """Return the processes below us that still run; the kernel hands us those left orphaned."""
    parents: dict[int, int] = {}
    live = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int(entry.parent.name)
            state, parent = entry.read_text(errors="replace").rpartition(")")[2].split()[:2]
            parents[pid] = int(parent)
            if state not in {"Z", "X"}:
                live.append(pid)
    me = os.getpid()
    return [pid for pid in live if pid != me and _descends(pid, me, parents)]


def _descends(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
    for _ in range(len(parents)):
        if pid == ancestor:
            return True
        pid = parents.get(pid, 0)
    return False


def _adopt_strays() -> None:
    """Become the parent of processes that leave the group, where the kernel can do that."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _wake_on_signals() -> int:
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    for signum in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: None)
    return readable


def main() -> int:
    """Read the request, run it, answer; a start that fails is answered as `error`."""
    request = json.loads(os.fdopen(os.dup(0), "rb", buffering=0).readline())
    _adopt_strays()
    wake = _wake_on_signals()
    try:
        answer = Supervisor(request).run(wake)
    except OSError as error:
        answer = {"error": str(error)}
    with contextlib.suppress(BrokenPipeError):
        os.write(1, json.dumps(answer).encode() + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
