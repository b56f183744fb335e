"""What goes wrong with worktrees on a real node: the right state, a clear reason, nothing lost."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swarm.git.command import run_git
from swarm.git.repository import Repository
from tests.processes.conftest import MakeNode
from tests.support.deals import Deal, gate_file, small_repository, submit
from tests.support.git_remote import GitRemote
from tests.support.nodes import RealNode, running_node
from tests.support.waiting import wait_for

pytestmark = pytest.mark.faults

# Not by `git config`: five blocks at once would meet at the shared clone's lock of it.
IDENTITY = " ".join(
    ["export"]
    + [f"GIT_{who}_{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME=a", "EMAIL=a@a")]
)
COMMIT = "date +%s%N > w.txt; git add .; git commit -qm w; git rev-parse HEAD >> $MADE"
TMPFS_MB = 4


@pytest.fixture
def remote(tmp_path: Path) -> GitRemote:
    return small_repository(tmp_path / "git")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNode]:
    """A node with an agent for each way to misbehave, for all tests without settings of theirs."""
    with running_node(tmp_path_factory.mktemp("node"), agents=str(len(MISBEHAVIOUR))) as started:
        yield started


@pytest.fixture(scope="module")
def cramped_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNode]:
    """A node with one agent whose worktrees are on a disk of their own with room for a few MB."""
    home = tmp_path_factory.mktemp("cramped")
    with small_disk(home / "worktrees"), running_node(home, agents="1") as started:
        yield started


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a small disk at `folder` until the block ends."""
    folder.mkdir(parents=True)
    options = ["-t", "tmpfs", "-o", f"size={TMPFS_MB}m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(["mount", *options], check=False).returncode != 0:
        pytest.skip("a small disk of its own needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def worktrees(node: RealNode) -> list[Path]:
    return list((node.home / "worktrees").glob("task-*"))


def shown(remote: GitRemote, name: str) -> str:
    return run_git(["show", name], cwd=remote.path, check=False).stdout


def rescue_refs(remote: GitRemote) -> list[str]:
    return [name for name in remote.refs() if name.startswith("refs/voidlux/rescue/")]


def reachable(*repositories: Path) -> set[str]:
    args = ["rev-list", "--glob=refs/*"]
    found = [run_git(args, cwd=path).stdout.split() for path in repositories]
    return {commit for each in found for commit in each}


def events(goal: Deal) -> list[dict[str, Any]]:
    return goal.buyer.items(f"/tasks/{goal.subtasks()[0]['id']}/events")


async def test_a_worktree_deleted_by_hand_costs_an_attempt_and_no_commit(
    node: RealNode, remote: GitRemote, tmp_path: Path
) -> None:
    began, go = tmp_path / "began", tmp_path / "go"
    block = (
        f"{IDENTITY}; if [ $VOIDLUX_ATTEMPT = 1 ]; then echo one > one.txt; git add one.txt; "
        f"git commit -qm one; touch {began}; {gate_file(go)}; fi; test -f one.txt"
    )
    goal = await submit(node, remote.path, f"{block}; cd .")
    await wait_for(began.exists)

    shutil.rmtree(worktrees(node)[0])
    go.touch()

    assert (await goal.ended())["status"] == "completed"
    [task] = goal.subtasks()
    assert task["attempt"] == 2
    assert shown(remote, f"{task['commit']}:one.txt") == "one\n"
    assert any(event["evidence"].get("branch") for event in events(goal))


async def test_a_remote_that_is_away_at_the_push_keeps_the_work_until_it_is_back(
    node: RealNode, remote: GitRemote, tmp_path: Path
) -> None:
    began, go = tmp_path / "began", tmp_path / "go"
    goal = await submit(node, remote.path, f"touch {began}; {gate_file(go)}; echo x > x.txt")
    await wait_for(began.exists)
    away = remote.path.with_name("away.git")

    remote.path.rename(away)
    told = len(node.log())
    go.touch()
    await wait_for(lambda: "trying again: git " in node.log()[told:])
    away.rename(remote.path)

    assert (await goal.ended(60.0))["status"] == "completed"
    await wait_for(lambda: not worktrees(node), 60.0)


async def test_a_worktree_that_had_to_stay_is_removed_when_the_remote_is_back(
    node: RealNode, remote: GitRemote, tmp_path: Path
) -> None:
    began = tmp_path / "began"
    block = f"echo half > half.txt; touch {began}; {gate_file(tmp_path / 'never')}"
    goal = await submit(node, remote.path, block)
    await wait_for(began.exists)
    away = remote.path.with_name("away.git")
    remote.path.rename(away)
    told = len(node.log())

    node.post(f"/tasks/{goal.goal_id}/cancel")
    await wait_for(lambda: "is kept" in node.log()[told:], 60.0)
    assert [path.name for path in worktrees(node)] != []
    away.rename(remote.path)

    await wait_for(lambda: not worktrees(node), 60.0)
    names = [f"{ref}:half.txt" for ref in remote.refs() if "rescue" in ref or "task" in ref]
    assert [shown(remote, name) for name in names] == ["half\n"]


MISBEHAVIOUR = {
    "detaches its head": f"git checkout -q --detach; {COMMIT}",
    "deletes its branch": (
        f"{COMMIT}; b=$(git branch --show-current); git checkout -q --detach; git branch -qD $b"
    ),
    "collects garbage": (
        f"{COMMIT}; git reset -q --hard HEAD~1; git reflog expire --expire=now --all; "
        "git gc -q --prune=now; exit 3"
    ),
    "stashes": "date +%s%N > calc.py; git stash -q; git rev-parse refs/stash >> $MADE; exit 3",
    "nests a repository": f"mkdir lib; cd lib; git init -q; {IDENTITY}; {COMMIT}; cd ..",
}


async def test_agents_that_misbehave_with_git_fail_and_lose_nothing(
    node: RealNode, remote: GitRemote, tmp_path: Path
) -> None:
    made = [tmp_path / f"made-{number}" for number in range(len(MISBEHAVIOUR))]
    blocks = [
        f"MADE={path}; {IDENTITY}; {block}"
        for path, block in zip(made, MISBEHAVIOUR.values(), strict=True)
    ]

    goal = await submit(node, remote.path, *blocks)

    assert (await goal.ended(80.0))["status"] == "failed"
    assert goal.statuses() == ["failed"] * len(MISBEHAVIOUR)
    await wait_for(lambda: not worktrees(node))
    clone = Repository(str(remote.path), node.home).path
    # Of three attempts one may end before its commit: they meet at locks of the shared clone.
    each = [set(path.read_text().split()) for path in made]
    assert min(map(len, each)) >= 2
    commits = set().union(*each)
    await wait_for(lambda: commits <= reachable(remote.path, clone))


async def test_over_its_quota_a_node_takes_no_work_and_says_so(
    make_node: MakeNode, remote: GitRemote
) -> None:
    node = make_node("node", agents="1", worktrees_mb_max="1").start()
    filler = node.home / "worktrees" / "filler" / "big"
    filler.parent.mkdir(parents=True)
    filler.write_bytes(b"x" * 2 * 1024 * 1024)

    goal = await submit(node, remote.path, "true")
    await wait_for(lambda: node.get("/status")["no_room"] != "")
    await wait_for(lambda: goal.statuses() == ["pending"])
    refused = "no room for another worktree: the worktrees take 2 MB, VOIDLUX_WORKTREES_MB_MAX is 1"
    assert any(refused in event["reason"] for event in events(goal))
    assert goal.subtasks()[0]["attempt"] == 0
    filler.unlink()

    assert (await goal.ended())["status"] == "completed"
    assert goal.subtasks()[0]["attempt"] == 1
    assert node.get("/status")["no_room"] == ""


async def test_a_disk_that_is_full_while_an_agent_works_is_named_as_the_cause(
    cramped_node: RealNode, remote: GitRemote
) -> None:
    node = cramped_node
    fill = f"echo '*.log' > .gitignore; head -c {2 * TMPFS_MB}M /dev/zero > big.log"
    block = f"[ $VOIDLUX_ATTEMPT != 1 ] || {{ {fill}; }}"

    goal = await submit(node, remote.path, block)

    await wait_for(lambda: "the disk is full" in node.get("/status")["no_room"])
    assert (await goal.ended(60.0))["status"] == "completed"
    [reason] = {e["reason"] for e in events(goal) if "attempt 1 failed" in e["reason"]}
    assert reason.startswith("attempt 1 failed: the disk is full: ")
    assert goal.subtasks()[0]["attempt"] == 2


async def test_a_disk_that_is_full_before_the_work_costs_no_attempt(
    cramped_node: RealNode, remote: GitRemote
) -> None:
    node = cramped_node
    await wait_for(lambda: not worktrees(node) and not node.get("/status")["no_room"], 60.0)
    filler = node.home / "worktrees" / "filler"
    with pytest.raises(OSError, match="No space left"):
        filler.write_bytes(b"x" * (TMPFS_MB + 1) * 1024 * 1024)

    goal = await submit(node, remote.path, "true")
    await wait_for(lambda: "the disk is full" in node.get("/status")["no_room"])
    await wait_for(lambda: goal.statuses() == ["pending"])
    assert goal.subtasks()[0]["attempt"] == 0
    filler.unlink()

    assert (await goal.ended(60.0))["status"] == "completed"
    assert goal.subtasks()[0]["attempt"] == 1
