"""Terminals of one node: tmux sessions on a private socket, without the user's configuration."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import uuid4

from p2p.protocol.errors import DomainError, ExternalError
from swarm.clean_env import clean_environment

COLUMNS = 200
ROWS = 50
HISTORY_LINES_MAX = 5_000
COMMAND_TIMEOUT_S = 10.0
PASTE_BYTES_MAX = 1024 * 1024
DEFAULT_COMMAND = ("sh", "-i")
SIGNAL_EXIT_BASE = 128
PANE_FORMAT = "#{session_name}|#{pane_dead}|#{pane_dead_status}|#{pane_dead_signal}"
ENDED = "ended"
SAY_ENDED = f"display-message -p {ENDED}"

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_BRACKETED_PASTE_END = "\x1b[201~"
_ABSENT = (
    "no server running",
    "server exited unexpectedly",  # it ended while it was asked
    "can't find session",
    "can't find window",
    "can't find pane",
    "session not found",
    "no current target",  # there is no session at all, which is so while the server ends
    "(No such file or directory)",
    "(Connection refused)",
)


class _Absent(ExternalError):
    """The addressed session, or the whole server, does not exist."""


class TmuxServer:
    """The tmux server of one node, addressed by the name of its private socket.

    All methods block for at most `COMMAND_TIMEOUT_S` seconds. They raise DomainError
    `tmux_missing` where tmux is not installed and ExternalError (retryable) where it fails.
    """

    def __init__(self, socket_name: str) -> None:
        """Name the socket (letters, digits, `_`, `-`); nothing is started yet."""
        self.socket_name = _checked(socket_name, "tmux socket name")

    def ensure_session(
        self,
        name: str,
        *,
        cwd: Path,
        env: Mapping[str, str],
        command: Sequence[str] = DEFAULT_COMMAND,
    ) -> None:
        """Start `command` in a 200x50 session that sees exactly `env`; keep one that exists.

        A session whose program has ended still exists (see `pane_dead`): kill it to start anew.
        Raises DomainError `no_such_directory` when `cwd` is missing.
        """
        if self.has_session(name):
            return
        if not cwd.is_dir():
            message = f"cannot start session '{name}': no directory {cwd}"
            raise DomainError("no_such_directory", message, status=422)
        self._start_server()
        try:
            self._new_session(name, cwd, env, command)
        except ExternalError:
            if not self.has_session(name):
                raise

    def has_session(self, name: str) -> bool:
        """Tell whether the session exists, be its program alive or ended."""
        try:
            self._run("has-session", "-t", _session(name))
        except _Absent:
            return False
        return True

    def list_sessions(self) -> list[str]:
        """Return the names of all sessions, sorted; none without a server."""
        try:
            return sorted(self._run("list-sessions", "-F", "#{session_name}").split())
        except _Absent:
            return []

    def kill_session(self, name: str) -> None:
        """End the session (its programs get SIGHUP); a missing one is fine."""
        try:
            self._run("kill-session", "-t", _session(name))
        except _Absent:
            return

    def paste(self, name: str, text: str, *, enter: bool, bracketed: bool = True) -> None:
        """Type `text` (UTF-8, at most 1 MiB) byte for byte as one paste, then Enter if asked.

        `bracketed` marks it as a paste for a program that asked for such marks.

        Raises DomainError `paste_refused` for a text that is too large, not Unicode or would end
        the paste early, and ExternalError when the session or its program is gone.
        """
        data = _checked_paste(text)
        buffer = f"paste-{uuid4().hex}"
        load = ("load-buffer", "-b", buffer, "-", ";") if data else ()
        steps = _typing(_pane(name), buffer if data else "", enter=enter, bracketed=bracketed)
        # In one go: tmux itself sees to it that nothing is typed where the program has ended.
        choice = ("if-shell", "-F", "-t", _pane(name), "#{pane_dead}", SAY_ENDED, steps)
        try:
            ended = self._run(*load, *choice, stdin=data).strip() == ENDED
        except ExternalError:
            self._forget_buffer(buffer)
            raise
        if ended:
            self._forget_buffer(buffer)
            message = f"session '{name}' cannot be typed to: its program ended with "
            raise ExternalError(f"{message}{self.pane_dead(name)}", retryable=True)

    def send_keys(self, name: str, keys: Sequence[str]) -> None:
        """Press keys by their tmux names (`Enter`, `Escape`, `C-c`), one after the other."""
        for key in keys:
            self._send_key(name, key)

    def pipe(self, name: str, fifo: Path) -> None:
        """Let the session's output also flow into a FIFO, which somebody must be reading."""
        command = f"exec cat > {shlex.quote(str(fifo))}".replace("#", "##")
        self._run("pipe-pane", "-O", "-t", _pane(name), _literal(command))

    def interrupt(self, name: str) -> None:
        """Send Ctrl-C to the session's program."""
        self._send_key(name, "C-c")

    def capture(self, name: str, lines: int = 50, *, coloured: bool = False) -> str:
        """Return the last `lines` lines (at most 5,000) of screen and history.

        Plain text, or `coloured` with the escape sequences of its colours.
        """
        wanted = max(1, min(lines, HISTORY_LINES_MAX))
        flags = "-ep" if coloured else "-p"
        text = self._run("capture-pane", flags, "-t", _pane(name), "-S", f"-{wanted}")
        return "\n".join(text.rstrip().splitlines()[-wanted:])

    def capture_screen(self, name: str) -> str:
        """Return what the screen shows now, without history, as plain text."""
        return self._run("capture-pane", "-p", "-t", _pane(name))

    def pane_dead(self, name: str) -> int | None:
        """Return the exit status of the session's ended program (128 + n for signal n), or None."""
        dead, status, signal_number, server_pid = self._pane_fields(
            name, "#{pane_dead}", "#{pane_dead_status}", "#{pane_dead_signal}", "#{pid}"
        )
        if dead != "1":
            return None
        if status:
            return int(status)
        if signal_number:
            return SIGNAL_EXIT_BASE + int(signal_number)
        # The terminal is closed but the program's end was not seen, which tmux may miss for
        # ever: the signal of an ended child makes it look again.
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(server_pid), signal.SIGCHLD)
        return None

    def ended(self) -> dict[str, int | None]:
        """Return all sessions with the exit status of an ended program, None where it lives."""
        try:
            shown = self._run("list-panes", "-a", "-F", PANE_FORMAT)
        except _Absent:
            return {}
        return dict(parse_pane(line) for line in shown.splitlines())

    def pane_pid(self, name: str) -> int:
        """Return the process id of the session's program."""
        return int(self._pane_fields(name, "#{pane_pid}")[0])

    def _start_server(self) -> None:
        # In a step of its own: the server keeps the environment of the client that started it,
        # and that of one session must not reach the others.
        self._run(
            *("start-server", ";", "set", "-s", "exit-empty", "off"),
            *(";", "set-environment", "-gu", "TMUX_TMPDIR"),
            *(";", "set", "-g", "history-limit", str(HISTORY_LINES_MAX)),
            *(";", "set", "-wg", "remain-on-exit", "on"),
        )

    def _new_session(
        self, name: str, cwd: Path, env: Mapping[str, str], command: Sequence[str]
    ) -> None:
        # The values travel in the client's environment, never in its arguments, which any
        # user of the machine can read; a listed name that is not set there is removed.
        names = sorted({*env, *clean_environment()})
        directory = _literal(str(cwd).replace("#", "##"))
        program = [_literal(argument) for argument in command]
        size = ("-x", str(COLUMNS), "-y", str(ROWS))
        self._run(
            *("set", "-g", "update-environment", " ".join(names)),
            *(";", "new-session", "-d", "-s", name, *size, "-c", directory, "--", *program),
            *(";", "set", "-w", "-t", _session(name) + ":", "window-size", "manual"),
            *(";", "set", "-g", "update-environment", ""),
            *(";", "set", "-s", "exit-empty", "on"),
            env=env,
        )

    def _forget_buffer(self, buffer: str) -> None:
        try:
            self._run("delete-buffer", "-b", buffer)
        except ExternalError:
            return

    def _send_key(self, name: str, key: str) -> None:
        # A user who scrolls back has put the pane into a mode that would swallow the key.
        target = _pane(name)
        self._run("copy-mode", "-q", "-t", target, ";", "send-keys", "-t", target, key)

    def _pane_fields(self, name: str, *formats: str) -> list[str]:
        line = self._run("list-panes", "-t", _window(name), "-F", "|".join(formats))
        return line.splitlines()[0].split("|")

    def _run(
        self, *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None
    ) -> str:
        argv = [_binary(), "-u", "-L", self.socket_name, "-f", "/dev/null", *arguments]
        try:
            done = subprocess.run(
                argv,
                input=stdin,
                capture_output=True,
                timeout=COMMAND_TIMEOUT_S,
                cwd="/",
                env=_client_environment(env),
                start_new_session=True,
                check=False,
            )
        except (subprocess.TimeoutExpired, OSError) as error:
            raise ExternalError(f"tmux {arguments[0]}: {error}", retryable=True) from error
        if done.returncode != 0:
            raise _failure(arguments[0], done.returncode, done.stderr)
        return done.stdout.decode(errors="replace")


def parse_pane(line: str) -> tuple[str, int | None]:
    """Return session and exit status (128 + n for signal n, None while alive) of a line."""
    session, dead, status, signal_number = line.rsplit("|", 3)
    if dead != "1":
        return session, None
    return session, int(status) if status else SIGNAL_EXIT_BASE + int(signal_number or 0)


def _typing(pane: str, buffer: str, *, enter: bool, bracketed: bool) -> str:
    """Return tmux's commands that type what is in a buffer, then Enter if asked."""
    steps = [f"has-session -t {pane}"]
    if buffer:
        steps.append(f"paste-buffer {'-p ' if bracketed else ''}-r -d -b {buffer} -t {pane}")
    if enter:
        # A user who scrolls back has put the pane into a mode that would swallow the key.
        steps += [f"copy-mode -q -t {pane}", f"send-keys -t {pane} Enter"]
    return " ; ".join(steps)


def _failure(command: str, code: int, stderr: bytes) -> ExternalError:
    reason = stderr.decode(errors="replace").strip()
    kind = _Absent if any(mark in reason for mark in _ABSENT) else ExternalError
    return kind(f"tmux {command} ended with {code}: {reason}", retryable=True)


def _client_environment(env: Mapping[str, str] | None) -> dict[str, str]:
    chosen = dict(clean_environment() if env is None else env)
    if "TMUX_TMPDIR" in os.environ:
        chosen["TMUX_TMPDIR"] = os.environ["TMUX_TMPDIR"]
    return chosen


def _literal(argument: str) -> str:
    # tmux reads an argument's last ';' as the end of a command.
    return f"{argument[:-1]}\\;" if argument.endswith(";") else argument


def _binary() -> str:
    found = shutil.which("tmux")
    if found is None:
        message = "tmux is not installed: install tmux 3.3 or newer with your package manager"
        raise DomainError("tmux_missing", message, status=503)
    return found


def _checked(name: str, what: str) -> str:
    if _NAME.fullmatch(name) is None:
        message = f"{what} {name!r} must be 1 to 64 letters, digits, '_' or '-'"
        raise DomainError("bad_session_name", message, status=422)
    return name


def _checked_paste(text: str) -> bytes:
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise DomainError("paste_refused", f"text is not Unicode: {error}", status=422) from error
    if len(data) > PASTE_BYTES_MAX:
        message = f"text of {len(data)} bytes exceeds {PASTE_BYTES_MAX}"
        raise DomainError("paste_refused", message, status=422)
    if _BRACKETED_PASTE_END in text:
        message = "text holds the end-of-paste sequence: what follows it would be typed as keys"
        raise DomainError("paste_refused", message, status=422)
    return data


def _session(name: str) -> str:
    return f"={_checked(name, 'session name')}"


def _window(name: str) -> str:
    return f"{_session(name)}:0"


def _pane(name: str) -> str:
    return f"{_session(name)}:0.0"
