"""Run one shell block under watch and leave evidence on disk; standard library only.

Started in an agent's terminal by `block_files.py`, as `main(RUN_DIR, WORKTREE, *WRAP)` in a Python
of its own; WRAP is the command line of a sandbox around the block, if it runs in one. It writes
into RUN_DIR: `started` (exclusively: the first start wins), `block` (the block's process),
`output.log` and, whatever happened to the block, `exit`.

Every task waits for this program to start. It imports what costs next to nothing and does without
`json`, `pathlib`, `signal` and `subprocess`, which take three times as long as Python itself.
"""

from __future__ import annotations

import os
import select
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator, Mapping
    from types import FrameType
    from typing import NoReturn
else:
    import _signal as signal  # without the enums, which take longer than all else here

STARTED, BLOCK, EXIT = "started", "block", "exit"
SCRIPT = "block.sh"
OUTPUT, OUTPUT_OLDER = "output.log", "output.older.log"
OUTPUT_BYTES_MAX = 8 * 1024 * 1024
KILL_AFTER_S = 5.0
DRAIN_S = 0.5
TICK_S = 0.1
TERMINAL_FD = 1
CHUNK_BYTES = 65536
HAS_PROC = os.path.exists("/proc/self/stat")
EXIT_CANNOT_START = 127
SIGNAL_EXIT_BASE = 128
PASSED_ON: dict[int, str] = {
    signal.SIGINT: "SIGINT",
    signal.SIGTERM: "SIGTERM",
    signal.SIGHUP: "SIGHUP",
}


def process_mark(pid: int) -> str | None:
    """Return a mark that no later process with this pid shares, or None when it is not alive."""
    own = _start_mark(pid)
    return None if own is None else f"{own}/{boot_mark()}"


def boot_mark() -> str:
    """Return a mark of this start of the machine or container: when its first process began."""
    return _start_mark(1) or ""


def write_exclusive(path: str | os.PathLike[str], fields: Mapping[str, object]) -> bool:
    """Write `fields` as JSON, durable and whole, unless `path` exists; tell whether it was us."""
    draft = _draft(path, fields)
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        os.unlink(draft)
    return True


def write_atomic(path: str | os.PathLike[str], fields: Mapping[str, object]) -> None:
    """Write `fields` as JSON, durable and whole, in place of what was at `path`."""
    os.replace(_draft(path, fields), path)


def now_text() -> str:
    """Return the present as ISO 8601 in UTC."""
    microseconds = time.time_ns() // 1000
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(microseconds // 1_000_000))
    return f"{whole}.{microseconds % 1_000_000:06d}+00:00"


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

    def __init__(self, run_dir: str) -> None:
        """Open the log in `run_dir` for appending."""
        self._path = f"{run_dir}/{OUTPUT}"
        self._older = f"{run_dir}/{OUTPUT_OLDER}"
        self._file = open(self._path, "ab", buffering=0)

    def write(self, data: bytes) -> None:
        """Take a chunk; a closed terminal or a full disk does not stop the block."""
        try:
            os.write(TERMINAL_FD, data)
        except OSError:
            pass
        try:
            self._file.write(data)
            if self._file.tell() > OUTPUT_BYTES_MAX // 2:
                self._rotate()
        except OSError:
            pass

    def _rotate(self) -> None:
        self._file.close()
        os.replace(self._path, self._older)
        self._file = open(self._path, "ab", buffering=0)


class Block:
    """The block's process, which leads a session of its own and waits until it may go on."""

    def __init__(self, argv: list[str], worktree: str) -> None:
        """Fork it; returns as soon as its process group is there. OSError where none can be."""
        self.code: int | None = None
        self.output, theirs = os.pipe()
        wait_fd, self._gate = os.pipe()
        ready, ready_fd = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(self._gate)  # or it would never see the gate closed by our death
            _become(argv, worktree, theirs, wait_fd, ready_fd)
        for descriptor in (theirs, wait_fd, ready_fd):
            os.close(descriptor)
        os.read(ready, 1)
        os.close(ready)

    def open_gate(self, *, go: bool) -> None:
        """Let it run, or end without having done anything."""
        try:
            if go:
                os.write(self._gate, b"g")
        except OSError:
            pass  # it could not start: its output says why
        os.close(self._gate)

    def has_ended(self) -> bool:
        """Tell whether it has ended; its exit code is then in `code` (-n after signal n)."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None

    def signal(self, number: int) -> None:
        """Send a signal to its process group; one that is gone is fine."""
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            pass


class Run:
    """One execution of the block in its own session, without a controlling terminal."""

    def __init__(self, run_dir: str, worktree: str, *wrap: str) -> None:
        """Take the directory of evidence, the block's working directory, and what is around it."""
        self._run_dir = run_dir
        self._argv = [*wrap, "/bin/sh", "-eu", f"{run_dir}/{SCRIPT}"]
        self._worktree = worktree
        self._output = Output(run_dir)
        self._block: Block | None = None
        self._signal: int | None = None
        self._kill_at: float | None = None

    def watch_signals(self) -> None:
        """Pass INT, TERM and HUP on to the block from now on; the last two bound its life."""
        for number in PASSED_ON:
            signal.signal(number, self._on_signal)

    def execute(self) -> int:
        """Run the block to its end and return its exit code (128 + n when signal n ended it)."""
        try:
            block = self._start()
        except OSError as error:
            self._output.write(_told(error))
            return EXIT_CANNOT_START
        self._pump(block)
        code = block.code or 0
        return code if code >= 0 else SIGNAL_EXIT_BASE - code

    @property
    def signal_name(self) -> str | None:
        """The last signal that asked this run to end, if any."""
        return None if self._signal is None else PASSED_ON[self._signal]

    def _start(self) -> Block:
        block = Block(self._argv, self._worktree)
        self._block = block
        fields = {"pid": block.pid, "mark": process_mark(block.pid)}
        write_atomic(f"{self._run_dir}/{BLOCK}", fields)
        # A signal that came before there was a process to pass it on to.
        if self._signal is not None:
            block.signal(self._signal)
        block.open_gate(go=self._signal is None)
        return block

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signal = number
        if number != signal.SIGINT and self._kill_at is None:
            self._kill_at = time.monotonic() + KILL_AFTER_S
        if self._block is not None and self._block.code is None:
            self._block.signal(number)

    def _pump(self, block: Block) -> None:
        """Pass output on until the block has ended; then end what it left behind."""
        is_open = True
        while not block.has_ended():
            is_open = is_open and self._pass_on(block.output, TICK_S)
            if not is_open:
                time.sleep(TICK_S)
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                block.signal(signal.SIGKILL)
        block.signal(signal.SIGKILL)
        drain_until = time.monotonic() + DRAIN_S
        while is_open and time.monotonic() < drain_until:
            is_open = self._pass_on(block.output, TICK_S)

    def _pass_on(self, stream: int, wait_s: float) -> bool:
        ready, _, _ = select.select([stream], [], [], wait_s)
        if not ready:
            return True
        data = os.read(stream, CHUNK_BYTES)
        if data:
            self._output.write(data)
        return bool(data)


def main(run_dir: str, worktree: str, *wrap: str) -> int:
    """Run the block of `run_dir` once, ever, and return its exit code."""
    run = Run(run_dir, worktree, *wrap)
    run.watch_signals()
    own = {"pid": os.getpid(), "mark": process_mark(os.getpid())}
    if not write_exclusive(f"{run_dir}/{STARTED}", {**own, "started_at": now_text()}):
        print("this run was started before; nothing is done")
        return 0
    code = run.execute()
    ended = {"code": code, "ended_at": now_text(), "signal": run.signal_name}
    write_atomic(f"{run_dir}/{EXIT}", ended)
    return code


def _become(argv: list[str], worktree: str, output: int, gate: int, ready: int) -> NoReturn:
    """Turn this forked process into the block, once the gate is opened."""
    code = 0
    try:
        os.setsid()
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(worktree)
        os.close(ready)
        # A block never runs before its process is on record.
        if os.read(gate, 1):
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores
                signal.signal(number, signal.SIG_DFL)
            os.execvp(argv[0], argv)
    except OSError as error:
        code = EXIT_CANNOT_START
        os.write(output, _told(error))
    finally:
        os._exit(code)


def _told(error: OSError) -> bytes:
    return f"cannot start the block: {error}\n".encode()


def _draft(path: str | os.PathLike[str], fields: Mapping[str, object]) -> str:
    folder, name = os.path.split(path)
    draft = f"{folder}/.{name}.{os.getpid()}"
    with open(draft, "w", encoding="utf-8") as file:
        file.write(_json(fields))
        file.flush()
        os.fsync(file.fileno())
    return draft


def _json(fields: Mapping[str, object]) -> str:
    """Return a record of numbers, truths and plain words as JSON."""
    parts = []
    for name, value in fields.items():
        if value is None or isinstance(value, bool):
            text = {None: "null", True: "true", False: "false"}[value]
        elif isinstance(value, int):
            text = str(value)
        else:
            text = f'"{value}"'
            if not text.isascii() or not text.isprintable() or set(text[1:-1]) & set('"\\'):
                raise ValueError(f"{name} of a run's record is no plain word: {value!r}")
        parts.append(f'"{name}": {text}')
    return "{" + ", ".join(parts) + "}"


def _start_mark(pid: int) -> str | None:
    if not HAS_PROC:
        return _start_mark_by_ps(pid)
    fields = _stat_fields(pid)
    return None if fields is None or fields[0] in "ZX" else fields[19]


def _stat_fields(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the third (the state) on."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return None
    # The name in field 2 may hold spaces and brackets: count from its last bracket.
    return text[text.rindex(")") + 2 :].split()


def _group_states() -> Iterator[tuple[int, str]]:
    """The process group and state of every process."""
    if HAS_PROC:
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
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
    import subprocess  # only where there is no /proc

    env = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
    done = subprocess.run(
        ["ps", *arguments], capture_output=True, text=True, env=env, timeout=10, check=False
    )
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
