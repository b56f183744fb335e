"""What tests of planning by a model share: a remote, a goal, and a model that answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.git_remote import GitRemote

README = "# Telescope\n\nA program that looks far.\n"


@pytest.fixture
def remote(tmp_path: Path) -> GitRemote:
    """A repository with a README, a manifest and two modules."""
    remote = GitRemote(tmp_path)
    remote.push(
        "main",
        {
            "README.md": README,
            "pyproject.toml": '[project]\nname = "telescope"\n',
            "telescope/lens.py": "def focus(): ...\n",
            "telescope/mount.py": "def turn(): ...\n",
        },
    )
    return remote
