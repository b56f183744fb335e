"""Random kills of everything a node consists of: no commit that an agent made is lost.

KILLS sets their number, TASKS that of the subtasks and SEED what is killed; `make test-kills`
runs it with 200 kills over 30 tasks.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from swarm.git.command import run_git
from tests.processes.conftest import MakeNode
from tests.support.deals import ENDED, Deal, small_repository, submit
from tests.support.git_remote import GitRemote
from tests.support.nodes import RealNode
from tests.support.waiting import is_alive, wait_for

pytestmark = pytest.mark.faults

KILLS = int(os.environ.get("KILLS", "20"))
TASKS = int(os.environ.get("TASKS", "5"))
SEED = int(os.environ.get("SEED", "1"))
GOAL_TASKS = 5
AGENTS = 4
PAUSE_MAX_S = 0.15
END_S = 540.0  # a worktree that had to stay is looked at again ever more rarely

# Commits, amends, resets and commits again; what git a kill leaves locked is unlocked as an
# agent would do it, and each commit is on record as soon as it is made.
BLOCK = """export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@a.invalid GIT_COMMITTER_NAME=a
  export GIT_COMMITTER_EMAIL=a@a.invalid
  unlock() {{ find "$(git rev-parse --absolute-git-dir)" -name '*.lock' -delete; }}
  g() {{ git "$@" || {{ unlock; git "$@" || true; }}; }}
  made() {{ git rev-parse HEAD >> {side}/$VOIDLUX_TASK_ID; }}
  for round in 1 2 3; do
    echo "$round $$" > work-$VOIDLUX_TASK_ID.txt; g add -A; g commit -qm "round $round"; made
    echo more >> work-$VOIDLUX_TASK_ID.txt; g commit -qa --amend -m "amended $round"; made
    echo wrong > wrong.txt; g add -A; g commit -qm "wrong $round"; made
    g reset -q --hard HEAD~1
    sleep 0.1
  done"""


@dataclass
class Chaos:
    """What may be killed at a node, and what was."""

    node: RealNode
    random: random.Random
    killed: Counter[str] = field(default_factory=Counter)

    def kill_one(self) -> None:
        """Kill something of a random kind, if there is anything of it."""
        kinds: list[tuple[str, int, Callable[[], bool]]] = [
            ("git", 100, lambda: self._kill_process("git ")),
            ("block", 30, lambda: self._kill_terminal("block.sh")),
            ("runner", 20, lambda: self._kill_terminal("run_block")),
            ("worker", 5, self._kill_worker),
            ("node", 5, self._kill_node),
            ("tmux", 5, self._kill_tmux),
        ]
        # What is always there would be killed most, and a node that starts has nothing else.
        left = [each for each in kinds if self.killed[each[0]] * 100 < each[1] * KILLS]
        [(name, _, kill)] = self.random.choices(left, [share for _, share, _ in left])
        self.killed[name] += kill()

    def _kill_node(self) -> bool:
        self.node.kill9()
        self.node.start()
        return True

    def _kill_worker(self) -> bool:
        pid = self.node.worker_pid()
        return pid is not None and _kill(pid)

    def _kill_tmux(self) -> bool:
        pids = self.node.terminal_processes()
        return bool(pids) and _kill(pids[0])

    def _kill_terminal(self, word: str) -> bool:
        return self._kill_any([p for p in self.node.terminal_processes() if word in _line(p)])

    def _kill_process(self, word: str) -> bool:
        own = [pid for pid, line in self.node.processes().items() if line.startswith(word)]
        theirs = [p for p in self.node.terminal_processes() if _line(p).startswith(word)]
        return self._kill_any(own + theirs)

    def _kill_any(self, pids: list[int]) -> bool:
        return bool(pids) and _kill(self.random.choice(sorted(pids)))


@pytest.mark.timeout(1000)
async def test_no_commit_of_any_agent_is_lost_whatever_is_killed(
    make_node: MakeNode, tmp_path: Path
) -> None:
    side = tmp_path / "made"
    side.mkdir()
    remote = small_repository(tmp_path / "git")
    node = make_node("node", agents=str(AGENTS), lease_s="30").start()
    chaos = Chaos(node, random.Random(SEED))
    goals = [
        await submit(node, remote.path, *[BLOCK.format(side=side)] * min(GOAL_TASKS, left))
        for left in range(TASKS, 0, -GOAL_TASKS)
    ]

    while sum(chaos.killed.values()) < KILLS:
        # Kills come at any moment: that is what is tested, and no condition is waited for.
        await asyncio.sleep(chaos.random.uniform(0, PAUSE_MAX_S))
        chaos.kill_one()
        if all(_has_ended(goal) for goal in goals):
            goals.append(await submit(node, remote.path, *[BLOCK.format(side=side)] * GOAL_TASKS))
    if not node.is_healthy():
        node.start()

    print(f"seed {SEED}: {dict(chaos.killed)}")
    await _until_all_is_over(node, goals)
    for goal in goals:
        _assert_right_end(goal, remote)
    made = {sha for path in side.iterdir() for sha in path.read_text().split()}
    assert len(made) > TASKS
    clone = next((node.home / "repositories").glob("*.git"))
    await wait_for(lambda: made <= _reachable(remote.path, clone), 40.0)
    print(f"{len(made)} commits of {len(goals)} goals: {_ends(goals)}")


def _ends(goals: list[Deal]) -> dict[str, int]:
    return dict(Counter(status for goal in goals for status in goal.statuses()))


async def _until_all_is_over(node: RealNode, goals: list[Deal]) -> None:
    """Wait until every goal has ended and every worktree of an attempt is gone."""
    ends_at = time.monotonic() + END_S
    for goal in goals:
        await wait_for(lambda goal=goal: _has_ended(goal), ends_at - time.monotonic())
    folder = node.home / "worktrees"
    await wait_for(lambda: not list(folder.glob("task-*")), ends_at - time.monotonic())


def _has_ended(goal: Deal) -> bool:
    return goal.goal()["status"] in ENDED


def _assert_right_end(goal: Deal, remote: GitRemote) -> None:
    """A completed subtask is in the pushed branch; one that failed had all its attempts."""
    shown, subtasks = goal.goal(), goal.subtasks()
    completed = [task for task in subtasks if task["status"] == "completed"]
    failed = [task for task in subtasks if task["status"] == "failed"]
    assert len(completed) + len(failed) == len(subtasks), goal.statuses()
    assert (shown["status"] == "completed") == (not failed), shown
    for task in failed:
        assert (task["attempt"], task["error"] != "") == (3, True), task
    branch = remote.refs().get(f"refs/heads/integrate/{goal.goal_id[:8]}", "")
    for task in completed:
        args = ["merge-base", "--is-ancestor", task["commit"], branch]
        assert run_git(args, cwd=remote.path, check=False).code == 0, task


def _reachable(*repositories: Path) -> set[str]:
    found: set[str] = set()
    for path in repositories:
        found.update(run_git(["rev-list", "--glob=refs/*"], cwd=path).stdout.split())
    return found


def _kill(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)
            return True
    return False


def _line(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""
