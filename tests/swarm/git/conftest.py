"""A bare remote with one commit, and a clone of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarm.git.repository import Repository
from tests.support.git_remote import GitRemote

BASE_FILE = "one\ntwo\nthree\n"


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
