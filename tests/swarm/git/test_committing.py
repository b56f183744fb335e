"""What is committed in a worktree, and pushed without overwriting anybody."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from p2p.protocol.errors import DomainError, ExternalError
from swarm.git.command import run_git
from swarm.git.committing import commit_all
from swarm.git.merging import identity_environment
from swarm.git.pushing import push_branch
from swarm.git.repository import Repository
from tests.support.git_remote import GitRemote
from tests.swarm.git.conftest import AUTHOR, BRANCH


def test_commit_takes_new_changed_and_deleted_files(
    tree: Path, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    (tree / "new.txt").write_text("new")
    (tree / "noise.log").write_text("ignored")
    (tree / "shared.txt").unlink()

    commit = commit_all(tree, "Do it", AUTHOR)

    shown = run_git(["show", "--format=%an|%ae|%cn|%s", "--name-status", commit], cwd=tree).stdout
    assert shown == "Agent One|agent@example.invalid|Agent One|Do it\n\nA\tnew.txt\nD\tshared.txt\n"
    assert commit_all(tree, "again", AUTHOR) == commit


def test_clean_tree_gives_head(tree: Path, base: str) -> None:
    assert commit_all(tree, "nothing", AUTHOR) == base


def test_unresolved_merge_is_not_committed(repo: Repository, remote: GitRemote, tree: Path) -> None:
    other = remote.push("main", {"shared.txt": "theirs\n"})
    repo.fetch()
    (tree / "shared.txt").write_text("ours\n")
    ours = commit_all(tree, "ours", AUTHOR)
    run_git(["merge", other], cwd=tree, check=False, env_extra=identity_environment(AUTHOR))

    with pytest.raises(DomainError, match=r"unresolved conflicts in shared\.txt"):
        commit_all(tree, "markers", AUTHOR)

    assert repo.local_head(BRANCH) == ours


def test_nested_repository_is_refused_by_name(tree: Path, base: str) -> None:
    nested = tree / "vendor" / "lib"
    nested.mkdir(parents=True)
    run_git(["init", "-q", "."], cwd=nested)
    (nested / "code.txt").write_text("code")
    commit_all(nested, "nested", AUTHOR)

    with pytest.raises(DomainError, match="nested repository in vendor/lib"):
        commit_all(tree, "work", AUTHOR)

    assert run_git(["rev-parse", "HEAD"], cwd=tree).stdout.strip() == base


def test_push_makes_then_extends_the_branch(
    repo: Repository, remote: GitRemote, tree: Path, base: str
) -> None:
    first = push_branch(repo, BRANCH)
    (tree / "new.txt").write_text("new")
    second = commit_all(tree, "work", AUTHOR)

    assert first == base
    assert push_branch(repo, BRANCH, base) == second
    assert push_branch(repo, BRANCH, base) == second
    assert remote.refs()[f"refs/heads/{BRANCH}"] == second


@pytest.mark.parametrize("expected_old", [None, ""])
def test_push_never_overwrites_what_came_in_between(
    repo: Repository, remote: GitRemote, tree: Path, expected_old: str | None
) -> None:
    theirs = remote.push(BRANCH, {"theirs.txt": "theirs"})
    (tree / "ours.txt").write_text("ours")
    commit_all(tree, "ours", AUTHOR)

    with pytest.raises(DomainError, match=f"shows {theirs}") as caught:
        push_branch(repo, BRANCH, expected_old)

    assert caught.value.code == "remote_moved"
    assert remote.refs()[f"refs/heads/{BRANCH}"] == theirs


def test_an_expectation_is_no_leave_to_drop_commits(
    repo: Repository, remote: GitRemote, tree: Path
) -> None:
    theirs = remote.push(BRANCH, {"theirs.txt": "theirs"})
    (tree / "ours.txt").write_text("ours")
    commit_all(tree, "ours", AUTHOR)

    with pytest.raises(DomainError) as caught:
        push_branch(repo, BRANCH, theirs)

    assert caught.value.code == "remote_moved"
    assert remote.refs()[f"refs/heads/{BRANCH}"] == theirs


def test_lease_holds_when_the_remote_moves_after_the_look(
    repo: Repository, remote: GitRemote, tree: Path, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_branch(repo, BRANCH)
    (tree / "ours.txt").write_text("ours")
    commit_all(tree, "ours", AUTHOR)
    look, moved = repo.remote_head, []

    def look_then_move(branch: str) -> str | None:
        shown = look(branch)
        if not moved:
            moved.append(remote.push(BRANCH, {"theirs.txt": "theirs"}))
        return shown

    monkeypatch.setattr(repo, "remote_head", look_then_move)

    with pytest.raises(DomainError) as caught:
        push_branch(repo, BRANCH, base)

    assert caught.value.code == "remote_moved"
    assert remote.refs()[f"refs/heads/{BRANCH}"] == moved[0]


def test_push_refused_by_the_remote_is_retryable(
    repo: Repository, remote: GitRemote, tree: Path
) -> None:
    hook = remote.path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho closed today\nexit 1\n")
    hook.chmod(0o755)

    with pytest.raises(ExternalError, match="closed today") as caught:
        push_branch(repo, BRANCH)

    assert caught.value.retryable is True
