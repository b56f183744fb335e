"""Run one shell block under watch and leave evidence on disk; standard library only.

Started in an agent's terminal as `python -I run_block.py RUN_DIR WORKTREE`. It writes into
RUN_DIR: `started` (exclusively: the first start wins), `block` (the block's process),
`output.log` and, whatever happened to the block, `exit`.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import IO

STARTED, BLOCK, EXIT = "started", "block", "exit"
SCRIPT = "block.sh"
OUTPUT, OUTPUT_OLDER = "output.log", "output.older.log"
OUTPUT_BYTES_MAX = 8 * 1024 * 1024
KILL_AFTER_S = 5.0
DRAIN_S = 0.5
TICK_S = 0.1
TERMINAL_FD = 1
HAS_PROC = Path("/proc/self/stat").exists()
EXIT_CANNOT_START = 127
SIGNAL_EXIT_BASE = 128

# The shell waits for a line, so that a block never runs before its process is on record.
_GATE = 'read -r line && exec /bin/sh -eu "$1" </dev/null'


def process_mark(pid: int) -> str | None:
    """Return a mark that no later process with this pid shares, or None when it is not alive."""
    own = _start_mark(pid)
    return None if own is None else f"{own}/{boot_mark()}"


def boot_mark() -> str:
    """Return a mark of this start of the machine or container: when its first process began."""
    return _start_mark(1) or ""


def write_exclusive(path: Path, fields: Mapping[str, object]) -> bool:
    """Write `fields` as JSON, durable and whole, unless `path` exists; tell whether it was us."""
    draft = _draft(path, fields)
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def write_atomic(path: Path, fields: Mapping[str, object]) -> None:
    """Write `fields` as JSON, durable and whole, in place of what was at `path`."""
    _draft(path, fields).replace(path)


def now_text() -> str:
    """Return the present as ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat()


def group_alive(group_id: int) -> bool:
    """Tell whether a process group has members that are more than unreaped remains."""
    try:
        os.killpg(group_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return any(group == group_id and state[0] not in "ZX" for group, state in _group_states())


class Output:
    """The block's output: shown in the terminal and kept in two files of bounded size."""

    def __init__(self, run_dir: Path) -> None:
        """Open the log in `run_dir` for appending."""
        self._path = run_dir / OUTPUT
        self._older = run_dir / OUTPUT_OLDER
        self._file = self._path.open("ab", buffering=0)

    def write(self, data: bytes) -> None:
        """Take a chunk; a closed terminal or a full disk does not stop the block."""
        with contextlib.suppress(OSError):
            os.write(TERMINAL_FD, data)
        with contextlib.suppress(OSError):
            self._file.write(data)
            if self._file.tell() > OUTPUT_BYTES_MAX // 2:
                self._rotate()

    def _rotate(self) -> None:
        self._file.close()
        self._path.replace(self._older)
        self._file = self._path.open("ab", buffering=0)


class Run:
    """One execution of the block in its own session, without a controlling terminal."""

    def __init__(self, run_dir: Path, worktree: Path) -> None:
        """Take the directory of evidence and the block's working directory."""
        self._run_dir = run_dir
        self._worktree = worktree
        self._output = Output(run_dir)
        self._process: subprocess.Popen[bytes] | None = None
        self._signal: int | None = None
        self._kill_at: float | None = None

    def watch_signals(self) -> None:
        """Pass INT, TERM and HUP on to the block from now on; the last two bound its life."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def execute(self) -> int:
        """Run the block to its end and return its exit code (128 + n when signal n ended it)."""
        try:
            process = self._start()
        except OSError as error:
            self._output.write(f"cannot start the block: {error}\n".encode())
            return EXIT_CANNOT_START
        self._pump(process)
        code = process.wait()
        return code if code >= 0 else SIGNAL_EXIT_BASE - code

    @property
    def signal_name(self) -> str | None:
        """The last signal that asked this run to end, if any."""
        return None if self._signal is None else signal.Signals(self._signal).name

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            ["/bin/sh", "-c", _GATE, "sh", str(self._run_dir / SCRIPT)],
            cwd=self._worktree,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._process = process
        fields = {"pid": process.pid, "mark": process_mark(process.pid)}
        write_atomic(self._run_dir / BLOCK, fields)
        # A signal that came before there was a process to pass it on to.
        if self._signal is not None:
            _signal_group(process.pid, self._signal)
        _open_gate(process, go=self._signal is None)
        return process

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signal = number
        if number != signal.SIGINT and self._kill_at is None:
            self._kill_at = time.monotonic() + KILL_AFTER_S
        if self._process is not None and self._process.returncode is None:
            _signal_group(self._process.pid, number)

    def _pump(self, process: subprocess.Popen[bytes]) -> None:
        """Pass output on until the block has ended; then end what it left behind."""
        assert process.stdout is not None
        is_open = True
        while process.poll() is None:
            is_open = is_open and self._pass_on(process.stdout, TICK_S)
            if not is_open:
                time.sleep(TICK_S)
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                _signal_group(process.pid, signal.SIGKILL)
        _signal_group(process.pid, signal.SIGKILL)
        drain_until = time.monotonic() + DRAIN_S
        while is_open and time.monotonic() < drain_until:
            is_open = self._pass_on(process.stdout, TICK_S)

    def _pass_on(self, stream: IO[bytes], wait_s: float) -> bool:
        ready, _, _ = select.select([stream], [], [], wait_s)
        if not ready:
            return True
        data = os.read(stream.fileno(), 65536)
        if data:
            self._output.write(data)
        return bool(data)


def main(run_dir: Path, worktree: Path) -> int:
    """Run the block of `run_dir` once, ever, and return its exit code."""
    run = Run(run_dir, worktree)
    run.watch_signals()
    own = {"pid": os.getpid(), "mark": process_mark(os.getpid())}
    if not write_exclusive(run_dir / STARTED, {**own, "started_at": now_text()}):
        print("this run was started before; nothing is done")
        return 0
    code = run.execute()
    ended = {"code": code, "ended_at": now_text(), "signal": run.signal_name}
    write_atomic(run_dir / EXIT, ended)
    return code


def _open_gate(process: subprocess.Popen[bytes], *, go: bool) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(b"go\n" if go else b"")
        process.stdin.close()


def _signal_group(group_id: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group_id, number)


def _draft(path: Path, fields: Mapping[str, object]) -> Path:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("w", encoding="utf-8") as file:
        json.dump(fields, file)
        file.flush()
        os.fsync(file.fileno())
    return draft


def _start_mark(pid: int) -> str | None:
    if not HAS_PROC:
        return _start_mark_by_ps(pid)
    fields = _stat_fields(pid)
    return None if fields is None or fields[0] in "ZX" else fields[19]


def _stat_fields(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the third (the state) on."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name in field 2 may hold spaces and brackets: count from its last bracket.
    return text[text.rindex(")") + 2 :].split()


def _group_states() -> Iterator[tuple[int, str]]:
    """The process group and state of every process."""
    if HAS_PROC:
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        found = (_stat_fields(pid) for pid in pids)
        yield from ((int(fields[2]), fields[0]) for fields in found if fields)
        return
    for line in _ps("-A", "-o", "pgid=,stat=").splitlines():
        group, _, state = line.strip().partition(" ")
        yield int(group), state.strip()


def _start_mark_by_ps(pid: int) -> str | None:
    state, _, started = _ps("-o", "stat=,lstart=", "-p", str(pid)).strip().partition(" ")
    return None if not started or state.startswith("Z") else started.strip()


def _ps(*arguments: str) -> str:
    env = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
    done = subprocess.run(
        ["ps", *arguments], capture_output=True, text=True, env=env, timeout=10, check=False
    )
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
