"""Where the work of strangers is tested: in `bwrap`, without a home, secrets or the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from p2p.local import local_node
from swarm import hooks
from swarm.git.repository import Repository
from swarm.models import Task
from swarm.sandbox import bwrap
from swarm.sandbox.bwrap import NoSandbox, read_only

SANDBOX_HOME = "/home/tester"
CLONE_PARTS = ("HEAD", "objects", "refs", "packed-refs", "shallow")


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What one run may see: its worktree and `writable`, both to write, and the system."""

    worktree: Path
    writable: Path
    network: bool

    def wrap(self, argv: Sequence[str]) -> list[str]:
        """Return the command line that runs `argv` inside."""
        home = str(local_node().home.resolve())
        return [
            *bwrap.system(network=self.network),
            *("--dir", SANDBOX_HOME),
            *("--tmpfs", home),  # also where a system folder holds the home
            *read_only(settings.ENVIRONMENT.test_sandbox_paths),
            *self._clone(),
            *("--bind", str(self.worktree), str(self.worktree)),
            *("--ro-bind", str(self.worktree / ".git"), str(self.worktree / ".git")),
            *("--bind", str(self.writable), str(self.writable)),
            *("--setenv", "HOME", SANDBOX_HOME, "--setenv", "TMPDIR", "/tmp"),
            *("--chdir", str(self.worktree), "--", *argv),
        ]

    def require(self) -> None:
        """Start it once with nothing to do; NoSandbox where that is not possible."""
        why = bwrap.why_not(self.wrap(["/bin/true"]), self.worktree)
        if why:
            raise NoSandbox(why)

    def _clone(self) -> list[str]:
        """Mount what git needs to read of the worktree's repository: not its configuration."""
        own, common = bwrap.git_folders(self.worktree)
        config = self.writable / "git-config"
        config.write_text(bwrap.format_of(common), "utf-8")
        return [
            *read_only(common / part for part in CLONE_PARTS),
            *("--ro-bind", str(config), str(common / "config")),
            *read_only([own]),
        ]


def sandbox_for(goal: Task, worktree: Path, commit: str, writable: Path) -> Sandbox | None:
    """Return the sandbox that a commit must be tested in; None where nothing asks for one.

    NoSandbox where one is needed, there is none and the operator did not waive it.
    """
    if not holds_strangers_work(goal, commit):
        return None
    network = settings.ENVIRONMENT.test_network == "1" or bool(goal.test_settings.get("network"))
    sandbox = Sandbox(worktree.resolve(), writable.resolve(), network)
    try:
        sandbox.require()
    except NoSandbox:
        if settings.ENVIRONMENT.unsafe_test_without_sandbox == "1":
            return None
        raise
    return sandbox


def holds_strangers_work(goal: Task, commit: str) -> bool:
    """Tell whether a commit is, or stands on, what a seller made whom the buyer does not trust."""
    hired = hooks.tasks_of_strangers(goal.id)
    reported = Task.objects.filter(id__in=hired).exclude(commit="").values_list("commit", flat=True)
    repository = Repository(goal.repository, local_node().home)
    return any(
        repository.has_commit(each) and repository.is_ancestor(each, commit) for each in reported
    )
