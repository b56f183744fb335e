from __future__ import annotations

import pytest

from p2p.protocol.errors import DomainError
from swarm.git.command import run_git
from swarm.git.names import (
    attempt_branch,
    integration_branch,
    validate_branch,
    validate_commit,
    validate_url,
)

TASK_ID = "0a1b2c3d-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/team/project.git",
        "http://127.0.0.1:3000/x",
        "https://user:token@example.org/x.git",
        "ssh://git@example.org:2222/x.git",
        "ssh://git@[::1]:22/x.git",
        "git@example.org:team/project.git",
        "file:///srv/git/x.git",
        "/srv/git/with space/x.git",
    ],
)
def test_remotes_are_accepted_unchanged(url: str) -> None:
    assert validate_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "-oProxyCommand=touch x",
        "--upload-pack=touch x",
        "ext::sh -c touch% x",
        "fd::17",
        "relative/path",
        "ftp://example.org/x",
        "git://example.org/x",
        "ssh://-oProxyCommand=x/y",
        "ssh://git@-oProxyCommand=x/y",
        "-u@host:path",
        "git@-host:path",
        "git@host:-path",
        "git@host::path",
        "https://exa mple.org/x",
        "https://example.org/x\n",
        " https://example.org/x",
        "https://example.org/\x00x",
        "file://host",
        "/" + "x" * 512,
    ],
)
def test_anything_else_is_refused(url: str) -> None:
    with pytest.raises(DomainError) as caught:
        validate_url(url)

    assert caught.value.code == "bad_repository"


def test_refusal_names_length_and_limit() -> None:
    with pytest.raises(DomainError, match="repository of 600 characters exceeds 512"):
        validate_url("/" + "x" * 599)


@pytest.mark.parametrize("branch", ["main", "task/0a1b2c3d-2", "feature/é"])
def test_branches_are_accepted(branch: str) -> None:
    assert validate_branch(branch) == branch


@pytest.mark.parametrize(
    "branch", ["", "a b", "a..b", "-x", "x.lock", "a:b", "*", "/x", "x\n", "HEAD", "x" * 201]
)
def test_bad_branches_are_refused(branch: str) -> None:
    with pytest.raises(DomainError) as caught:
        validate_branch(branch)

    assert caught.value.code == "bad_branch"


@pytest.mark.parametrize("commit", ["", "abc", "G" * 40, "a" * 41, "A" * 40, "--all"])
def test_bad_commits_are_refused(commit: str) -> None:
    with pytest.raises(DomainError) as caught:
        validate_commit(commit)

    assert caught.value.code == "bad_commit"


def test_branches_of_attempts_and_integration() -> None:
    assert attempt_branch(TASK_ID, 1) == "task/0a1b2c3d"
    assert attempt_branch(TASK_ID, 2) == "task/0a1b2c3d-2"
    assert integration_branch(TASK_ID) == "integrate/0a1b2c3d"


@pytest.mark.parametrize("branch", ["task/0a1b2c3d-2", "main", "a/b_c/-d", "_x"])
def test_plain_branch_names_need_no_git_to_be_judged(branch: str, git_commands: list[str]) -> None:
    assert validate_branch(branch) == branch
    assert git_commands == []
    assert run_git(["check-ref-format", f"refs/heads/{branch}"], check=False).code == 0
