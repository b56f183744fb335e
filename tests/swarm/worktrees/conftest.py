"""A remote, our clone of it in a home of the test's own, and a worktree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from p2p.local import LocalNode, acting_as, local_node
from swarm.git.repository import Repository
from swarm.git.worktrees import add_worktree
from swarm.worktrees import room
from tests.support.git_remote import GitRemote

BRANCH = "task/0a1b2c3d"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    node = local_node()
    with acting_as(LocalNode(tmp_path / "home", node.identity, node.network, node.swarm)):
        yield tmp_path / "home"


@pytest.fixture(autouse=True)
def with_room() -> Iterator[None]:
    """Forget what a test noted of a full disk."""
    yield
    room._note("")


@pytest.fixture
def remote(tmp_path: Path) -> GitRemote:
    return GitRemote(tmp_path)


@pytest.fixture
def base(remote: GitRemote) -> str:
    return remote.push("main", {"readme.txt": "hello\n", ".gitignore": ".env\nsecrets/\n*.key\n"})


@pytest.fixture
def repo(remote: GitRemote, base: str, home: Path) -> Repository:
    repository = Repository(str(remote.path), home)
    repository.ensure()
    return repository


@pytest.fixture
def tree(repo: Repository, base: str, home: Path) -> Path:
    return add_worktree(repo, home / "worktrees" / "task-one", BRANCH, base).path
