"""How a tool is started for an attempt: what its command line is given of the worktree."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from p2p.local import LocalNode, acting_as, local_node
from swarm.agents.adapters import tool_named
from swarm.agents.places import worktree_of
from swarm.agents.prompts import prepare_launch
from swarm.git.command import run_git
from swarm.mcp.access import McpAccess
from swarm.models import Agent, Attempt
from tests.support.git_remote import IDENTITY, GitRemote

ACCESS = McpAccess(url="http://127.0.0.1:1/mcp", token="secret-of-the-attempt")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home whose tools are all one empty program."""
    node = local_node()
    home = tmp_path / "home"
    (home / "tools").mkdir(parents=True)
    for name in ("claude", "codex", "opencode"):
        program = home / name
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        settings = home / "tools" / f"{name}.env"
        settings.touch(mode=0o600)
        settings.write_text(f"PATH={home}:/usr/bin:/bin\nOF_THE_OPERATOR=1\n")
    with acting_as(LocalNode(home, node.identity, node.network, node.swarm)):
        yield home


@pytest.fixture
def attempt(home: Path, tmp_path: Path) -> Attempt:
    """An attempt with a worktree of a bare clone."""
    remote = GitRemote(tmp_path)
    base = remote.push("main", {"a.txt": "a"})
    attempt = Attempt(
        task_id=uuid4(), number=1, generation=1, branch="task/1", agent=Agent(name="a")
    )
    clone = home / "clone.git"
    run_git(["clone", "-q", "--bare", str(remote.path), str(clone)])
    worktree = worktree_of(attempt)
    run_git(["worktree", "add", "-q", "-b", "task/1", str(worktree), base], cwd=clone)
    return attempt


def test_codex_may_write_what_commits_write_and_no_hooks(home: Path, attempt: Attempt) -> None:
    command = prepare_launch(tool_named("codex"), attempt, ACCESS).command

    prefix = "sandbox_workspace_write.writable_roots="
    [roots] = [part.removeprefix(prefix) for part in command if part.startswith(prefix)]
    clone, worktree = home / "clone.git", worktree_of(attempt)
    own = clone / "worktrees" / worktree.name
    shared = [str(clone / name) for name in ("objects", "refs", "logs")]
    assert json.loads(roots) == [str(own), *shared]
    (worktree / "b.txt").write_text("b")
    run_git(["add", "b.txt"], cwd=worktree)
    before = {path for path in clone.rglob("*") if path.is_file()}
    run_git(["commit", "-qm", "b"], cwd=worktree, env_extra=IDENTITY)
    new = {path for path in clone.rglob("*") if path.is_file()} - before
    outside = [p for p in new if not any(p.is_relative_to(root) for root in [own, *shared])]
    assert new and outside == []


@pytest.mark.parametrize("tool", ["claude", "codex", "opencode"])
def test_the_token_is_in_no_argument_and_every_place_is_filled_in(
    home: Path, attempt: Attempt, tool: str
) -> None:
    launch = prepare_launch(tool_named(tool), attempt, ACCESS)

    text = " ".join(launch.command)
    assert ACCESS.token not in text
    assert not [name for name in ("{file}", "{url}", "{git_writable}", "{run_dir}") if name in text]
    assert launch.env["OF_THE_OPERATOR"] == "1"
    assert launch.env["VOIDLUX_TASK_ID"] == attempt.task_id.hex
