"""An attempt of sold work on a node whose home lies in a folder that sandboxes are shown."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import settings

from p2p.local import LocalNode, acting_as, local_node
from swarm.agents import steps
from swarm.agents.block_files import WRAPPER, output_tail
from swarm.agents.places import run_dir_of
from swarm.clean_env import clean_environment
from swarm.models import Agent, Attempt
from swarm.sandbox import bwrap
from tests.support.git_remote import GitRemote
from tests.support.services import find_program

Environment = Callable[..., None]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Return a function that changes settings of the environment."""

    def change(**changes: object) -> None:
        changed = settings.ENVIRONMENT.model_copy(update=changes)
        monkeypatch.setattr(settings, "ENVIRONMENT", changed)

    return change


@pytest.fixture
def outside(environment: Environment) -> Iterator[Path]:
    """A folder beside the system that sandboxes of sold work are shown."""
    find_program(bwrap.PROGRAM)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        environment(sold_sandbox_paths=(Path(folder),))
        yield Path(folder)


@pytest.fixture
def home(outside: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The node's home, with secrets in it; its owner's home is another folder."""
    owner = outside / "owner"
    owner.mkdir()
    (owner / "notes").write_text("private")
    monkeypatch.setenv("HOME", str(owner))
    node = local_node()
    home = outside / "home"
    home.mkdir()
    for name in ("identity.pem", "api-token", "voidlux.sqlite3"):
        (home / name).write_text("a secret")
    with acting_as(LocalNode(home, node.identity, node.network, node.swarm)):
        yield home


@dataclass
class Sold:
    """A repository of a buyer's, and attempts at its tasks."""

    remote: GitRemote
    base: str
    made: list[Attempt] = field(default_factory=list)

    def attempt(self, shell: str, **columns: object) -> Attempt:
        """Set up a run of a shell block under a tribute."""
        number = len(self.made) + 1
        fields: dict[str, object] = {
            "id": uuid4(),
            "task_id": uuid4(),
            "assigner_node_id": "b" * 32,
            "title": "Say hello",
            "number": number,
            "generation": 1,
            "tribute_id": uuid4(),
            "agent": Agent(name="ann", tool="shell"),
            "shell": shell,
            "repository": str(self.remote.path),
            "base_commit": self.base,
            "branch": f"task/{number}",
        }
        attempt = Attempt(**{**fields, **columns})
        self.made.append(attempt)
        steps.set_up(attempt)
        return attempt

    def run(self, shell: str, **columns: object) -> tuple[Attempt, int, str]:
        """Run a block to its end; returns the attempt, its exit code and its output."""
        attempt = self.attempt(shell, **columns)
        return attempt, *self.finish(attempt)

    def finish(self, attempt: Attempt) -> tuple[int, str]:
        """Run the block of an attempt that is set up; returns its exit code and its output."""
        wrapper = run_dir_of(attempt) / WRAPPER
        done = subprocess.run(
            ["sh", str(wrapper)],
            cwd="/",
            env=clean_environment(),
            capture_output=True,
            timeout=60,
            check=False,
        )
        return done.returncode, output_tail(run_dir_of(attempt))


@pytest.fixture
def sold(home: Path, outside: Path) -> Sold:
    """Attempts at a repository that lies outside of the node's home."""
    folder = outside / "git"
    folder.mkdir()
    remote = GitRemote(folder)
    return Sold(remote, remote.push("main", {"README": "hello\n", ".gitignore": "*.tmp\n"}))
