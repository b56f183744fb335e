from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from p2p.protocol.errors import DomainError, ExternalError
from swarm.agents.tmux import PASTE_BYTES_MAX, TmuxServer
from swarm.clean_env import clean_environment
from tests.support.terminals import end_terminals
from tests.swarm.agents.waiting import wait_for


def test_ensure_session_is_idempotent(tmux: TmuxServer, session: str, worktree: Path) -> None:
    pid = tmux.pane_pid(session)
    tmux.ensure_session(session, cwd=worktree, env=clean_environment())
    assert tmux.pane_pid(session) == pid
    assert tmux.list_sessions() == [session]


def test_session_starts_in_its_directory_at_200_by_50(
    tmux: TmuxServer, session: str, worktree: Path
) -> None:
    tmux.paste(session, "stty size > size; pwd > cwd.tmp; mv cwd.tmp cwd", enter=True)
    wait_for((worktree / "cwd").exists)
    assert (worktree / "cwd").read_text() == f"{worktree}\n"
    assert (worktree / "size").read_text() == "50 200\n"
    assert not (worktree / "pwned").exists()


def test_each_session_sees_exactly_its_own_environment(
    tmux: TmuxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOIDLUX_AUTH_SECRET", "do-not-leak")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "do-not-leak")
    path = os.environ["PATH"]
    first = {"PATH": path, "HOME": "/first", "TOKEN_A": "a b\nc;"}
    tmux.ensure_session("first", cwd=tmp_path, env=first)
    tmux.ensure_session("second", cwd=tmp_path, env={"PATH": path, "TOKEN_B": "b"})
    seen = {}
    for name in ("first", "second"):
        tmux.paste(name, f"env -0 > {name}.tmp; mv {name}.tmp {name}.env", enter=True)
        wait_for((tmp_path / f"{name}.env").exists)
        seen[name] = _environment(tmp_path / f"{name}.env")
    assert seen["first"] == {"PATH": path, "HOME": "/first", "TOKEN_A": "a b\nc;"}
    assert seen["second"] == {"PATH": path, "TOKEN_B": "b"}
    assert b"do-not-leak" not in Path(f"/proc/{_server_pid(tmux)}/environ").read_bytes()


def test_missing_directory_is_refused_and_nothing_started(tmux: TmuxServer, tmp_path: Path) -> None:
    with pytest.raises(DomainError) as refused:
        tmux.ensure_session("a", cwd=tmp_path / "none", env={})
    assert refused.value.code == "no_such_directory"
    assert tmux.list_sessions() == []


@pytest.mark.parametrize("name", ["", "a:b", "a.b", "a b", "=a", "a\n", "a" * 65])
def test_bad_session_names_are_refused(tmux: TmuxServer, name: str) -> None:
    with pytest.raises(DomainError) as refused:
        tmux.has_session(name)
    assert refused.value.code == "bad_session_name"


def test_a_name_that_begins_another_is_not_that_other(tmux: TmuxServer, session: str) -> None:
    assert tmux.has_session(session)
    assert not tmux.has_session(session[:-1])


def test_kill_session_may_be_repeated(tmux: TmuxServer, session: str) -> None:
    tmux.kill_session(session)
    tmux.kill_session(session)
    assert not tmux.has_session(session)
    assert tmux.list_sessions() == []


def test_paste_of_100_kb_is_byte_identical(tmux: TmuxServer, session: str, worktree: Path) -> None:
    line = "läuft 'quoted' $HOME `x` \\n #{pane_id} ; "
    text = "\n".join(f"{n} {line}" for n in range(2200)) + "\n"
    size = len(text.encode())
    assert size > 100_000
    _assert_pasted(tmux, session, worktree, text)


def test_control_characters_are_pasted_as_they_are(
    tmux: TmuxServer, session: str, worktree: Path
) -> None:
    text = "".join(chr(code) for code in range(1, 32)) + "\x7f\x1b[A end \r\n\t;"
    _assert_pasted(tmux, session, worktree, text)


@pytest.mark.parametrize(
    "text", ["x\x1b[201~rm -rf ~\n", "x" * (PASTE_BYTES_MAX + 1), "half \ud800"]
)
def test_dangerous_pastes_are_refused(tmux: TmuxServer, session: str, text: str) -> None:
    with pytest.raises(DomainError) as refused:
        tmux.paste(session, text, enter=True)
    assert refused.value.code == "paste_refused"


def test_paste_without_text_or_enter(tmux: TmuxServer, session: str, worktree: Path) -> None:
    tmux.paste(session, "touch done", enter=False)
    tmux.paste(session, "", enter=False)
    wait_for(lambda: "touch done" in tmux.capture(session))
    assert not (worktree / "done").exists()
    tmux.paste(session, "", enter=True)
    wait_for((worktree / "done").exists)


def test_paste_into_a_missing_or_ended_session_fails(tmux: TmuxServer, session: str) -> None:
    with pytest.raises(ExternalError) as missing:
        tmux.paste("nobody", "x", enter=True)
    assert missing.value.retryable
    tmux.paste(session, "exit 3", enter=True)
    wait_for(lambda: tmux.pane_dead(session) is not None)
    with pytest.raises(ExternalError, match="its program ended with 3"):
        tmux.paste(session, "x", enter=True)
    assert _tmux_command(tmux, "list-buffers") == ""


def test_exit_status_stays_readable(tmux: TmuxServer, session: str) -> None:
    assert tmux.pane_dead(session) is None
    tmux.paste(session, "exit 7", enter=True)
    assert wait_for(lambda: tmux.pane_dead(session)) == 7
    assert tmux.has_session(session)


def test_exit_by_signal_is_128_and_the_signal(tmux: TmuxServer, session: str) -> None:
    os.kill(tmux.pane_pid(session), signal.SIGKILL)
    assert wait_for(lambda: tmux.pane_dead(session)) == 137


def test_no_end_is_missed_though_tmux_may_miss_its_signal(tmux: TmuxServer, worktree: Path) -> None:
    for number in range(25):
        # A server of its own each time: tmux misses an end mostly when it has just started.
        end_terminals(tmux)
        name = f"agent-{number}"
        tmux.ensure_session(name, cwd=worktree, env=clean_environment())
        os.kill(tmux.pane_pid(name), signal.SIGKILL)
        assert wait_for(lambda name=name: tmux.pane_dead(name)) == 137  # type: ignore[misc]


def test_capture_returns_the_last_lines(tmux: TmuxServer, session: str, worktree: Path) -> None:
    tmux.paste(session, "seq 1 300; touch done", enter=True)
    wait_for((worktree / "done").exists)
    wait_for(lambda: tmux.capture(session).splitlines()[-2:-1] == ["300"])
    lines = tmux.capture(session, 200).splitlines()
    assert len(lines) == 200
    assert lines[:-1] == [str(n) for n in range(102, 301)]


def test_interrupt_reaches_the_program_even_while_scrolled_back(
    tmux: TmuxServer, session: str, worktree: Path
) -> None:
    tmux.paste(session, "touch asleep; sleep 1000", enter=True)
    wait_for((worktree / "asleep").exists)
    _tmux_command(tmux, "copy-mode", "-t", session)
    tmux.interrupt(session)
    tmux.paste(session, "touch awake", enter=True)
    wait_for((worktree / "awake").exists)


def test_missing_tmux_says_what_to_install(
    tmux: TmuxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "/nonexistent")
        with pytest.raises(DomainError, match="install tmux") as refused:
            tmux.list_sessions()
    assert refused.value.code == "tmux_missing"


def test_sessions_outlive_a_killed_node_and_hold_nothing_of_it(
    tmux: TmuxServer, tmp_path: Path
) -> None:
    node = subprocess.Popen(
        [sys.executable, "-c", _NODE, tmux.socket_name, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert node.stdout is not None
    port = node.stdout.readline().strip()
    os.killpg(node.pid, signal.SIGKILL)
    assert node.wait() == -signal.SIGKILL
    assert tmux.pane_dead("agent-1") is None
    for pid in (_server_pid(tmux), tmux.pane_pid("agent-1")):
        held = {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}
        assert not any("inherited.txt" in name for name in held)
    # Nobody holds the node's pipe or its port any more.
    assert node.stdout.read() == ""
    assert port not in _listening_ports()


_NODE = """
import os, socket, sys, time
from pathlib import Path
from swarm.agents.tmux import TmuxServer
listener = socket.create_server(("127.0.0.1", 0))
held = open(Path(sys.argv[2]) / "inherited.txt", "w")
os.set_inheritable(held.fileno(), True)
os.set_inheritable(listener.fileno(), True)
TmuxServer(sys.argv[1]).ensure_session(
    "agent-1", cwd=Path(sys.argv[2]), env={"PATH": os.environ["PATH"]}
)
print(listener.getsockname()[1], flush=True)
time.sleep(1000)
"""


def _assert_pasted(tmux: TmuxServer, session: str, worktree: Path, text: str) -> None:
    size = len(text.encode())
    tmux.paste(session, f"stty raw -echo; touch raw; head -c {size} > got; touch end", enter=True)
    wait_for((worktree / "raw").exists)
    tmux.paste(session, text, enter=False)
    wait_for((worktree / "end").exists)
    assert (worktree / "got").read_bytes() == text.encode()


def _environment(path: Path) -> dict[str, str]:
    added_by_terminal = {"PWD", "OLDPWD", "SHELL", "TERM", "TERM_PROGRAM", "TERM_PROGRAM_VERSION"}
    pairs = (entry.partition("=") for entry in path.read_text().split("\x00") if entry)
    return {
        name: value
        for name, _, value in pairs
        if name not in added_by_terminal | {"TMUX", "TMUX_PANE", "SHLVL", "_"}
    }


def _tmux_command(tmux: TmuxServer, *arguments: str) -> str:
    binary = shutil.which("tmux")
    assert binary is not None
    argv = [binary, "-L", tmux.socket_name, *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=10).stdout


def _server_pid(tmux: TmuxServer) -> int:
    return int(_tmux_command(tmux, "display-message", "-p", "#{pid}"))


def _listening_ports() -> set[str]:
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = [row.split() for row in rows]
    return {str(int(field[1].split(":")[1], 16)) for field in fields if field[3] == "0A"}
