"""Further worktrees beside an integration, so that several of its commits are tested at once."""

from __future__ import annotations

import shutil
from pathlib import Path

from swarm.git.command import run_git
from swarm.git.integration import Integration
from swarm.git.repository import Repository
from swarm.git.worktrees import drop_worktree, list_worktrees

PLACES_MAX = 8


def put_place(integration: Integration, number: int, commit: str) -> Path:
    """Return the test worktree `number`, from 1, with exactly the files of `commit`."""
    repo, path = integration.repo, _path(integration, number)
    with repo.locked():
        if path.is_dir():
            run_git(["checkout", "--quiet", "--force", "--detach", commit], cwd=path)
            run_git(["clean", "--quiet", "-ffdx"], cwd=path)
        else:
            # Forced: the folder may be gone of one that the clone still has on its register.
            forced = ("--force", "--force", "--detach")
            repo.git("worktree", "add", *forced, "--", str(path), commit)
    return path


def drop_places(integration: Integration) -> None:
    """Remove the test worktrees of an integration, also those that a killed worker left."""
    wanted = {_path(integration, number) for number in range(1, PLACES_MAX + 1)}
    if not any(path.exists() for path in wanted):
        return
    with integration.repo.locked():
        for path in wanted:
            shutil.rmtree(path, ignore_errors=True)
        _forget(integration.repo, wanted)


def _forget(repo: Repository, paths: set[Path]) -> None:
    for tree in list_worktrees(repo):
        if tree.path in paths:
            drop_worktree(repo, tree.path)


def _path(integration: Integration, number: int) -> Path:
    return integration.path.with_name(f"{integration.path.name}-test-{number}")
