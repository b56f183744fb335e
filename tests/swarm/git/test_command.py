from __future__ import annotations

import time
from pathlib import Path

import pytest

from p2p.protocol.errors import ExternalError
from swarm.git.command import redact, run_git


def test_failure_names_command_exit_code_and_last_lines(tmp_path: Path) -> None:
    with pytest.raises(ExternalError) as caught:
        run_git(["rev-parse", "HEAD"], cwd=tmp_path)

    assert "git rev-parse HEAD failed with exit code 128" in caught.value.message
    assert "not a git repository" in caught.value.message
    assert caught.value.retryable is False


def test_unchecked_failure_is_a_result(tmp_path: Path) -> None:
    result = run_git(["rev-parse", "HEAD"], cwd=tmp_path, check=False)

    assert (result.code, result.stdout) == (128, "")


def test_surrounding_git_variables_and_secrets_do_not_leak(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nonexistent")
    monkeypatch.setenv("VOIDLUX_AUTH_SECRET", "hidden")

    run_git(["init", "-q", "--bare", "x.git"], cwd=tmp_path)
    shown = run_git(["-c", "alias.env=!env", "env"], cwd=tmp_path / "x.git").stdout

    assert "VOIDLUX_AUTH_SECRET" not in shown
    assert "GIT_INDEX_FILE" not in shown
    assert "GIT_TERMINAL_PROMPT=0" in shown


def test_time_limit_ends_the_whole_group_and_is_retryable(tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    alias = f"alias.hang=!sleep 60 & echo $! > {marker}; wait"
    started = time.monotonic()

    with pytest.raises(ExternalError, match=r"ran longer than 0\.5 s") as caught:
        run_git(["-c", alias, "hang"], cwd=tmp_path, timeout_s=0.5)

    assert caught.value.retryable is True
    assert time.monotonic() - started < 10
    pid = int(marker.read_text())
    assert not Path(f"/proc/{pid}").exists() or _is_zombie(pid)


def test_credentials_are_redacted() -> None:
    assert redact("fetch https://me:secret@host/x failed") == "fetch https://***@host/x failed"


def test_missing_directory_is_an_external_error(tmp_path: Path) -> None:
    with pytest.raises(ExternalError, match="cannot start"):
        run_git(["status"], cwd=tmp_path / "gone")


def test_hooks_of_the_repository_do_not_run(tmp_path: Path) -> None:
    run_git(["init", "-q", "."], cwd=tmp_path)
    hook = tmp_path / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ntouch ran\nexit 1\n")
    hook.chmod(0o755)

    identity = {f"GIT_{p}_{k}": "x" for p in ("AUTHOR", "COMMITTER") for k in ("NAME", "EMAIL")}
    run_git(["commit", "-q", "--allow-empty", "-m", "x"], cwd=tmp_path, env_extra=identity)

    assert not (tmp_path / "ran").exists()


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return False
