"""A bare remote with one commit, and a clone of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarm.git.repository import Repository
from swarm.git.worktrees import add_worktree
from tests.support.git_remote import GitRemote

BASE_FILE = "one\ntwo\nthree\n"
BRANCH = "task/0a1b2c3d"
AUTHOR = "Agent One <agent@example.invalid>"


@pytest.fixture
def remote(tmp_path: Path) -> GitRemote:
    return GitRemote(tmp_path)


@pytest.fixture
def base(remote: GitRemote) -> str:
    """The first commit, at `main`."""
    return remote.push("main", {"shared.txt": BASE_FILE, ".gitignore": "*.log\n"})


@pytest.fixture
def repo(remote: GitRemote, base: str, tmp_path: Path) -> Repository:
    """Our clone of the remote."""
    repository = Repository(str(remote.path), tmp_path / "home")
    repository.ensure()
    return repository


@pytest.fixture
def tree(repo: Repository, base: str, tmp_path: Path) -> Path:
    """A worktree on a branch of its own."""
    return add_worktree(repo, tmp_path / "home" / "worktrees" / "one", BRANCH, base).path
