"""What becomes of reported branches: one table of whole runs of the gate on real repositories."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from swarm.git.command import run_git
from swarm.models import MergeRun, Task, TestRun
from tests.support.gate_goals import (
    GREEN,
    a_goal,
    after_gate,
    pushed,
    report,
)
from tests.support.git_remote import IDENTITY, GitRemote

pytestmark = pytest.mark.django_db(transaction=True)

Edits = Mapping[str, str | None]
# A broken branch adds a file with BUG in it; a file with MEND makes all of it good again.
MENDABLE = "! grep -rq BUG . || grep -rq MEND ."
PAIR = "! { test -e 1 && test -e 3; }"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 12345\n"
LONG = "".join(f"line {number}\n" for number in range(40))


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Branches, one for each subtask, and how all of it ends after one run of the gate."""

    name: str
    branches: tuple[Edits, ...]
    command: str = GREEN
    base: Edits = field(default_factory=dict)
    own_tests: Mapping[int, str] = field(default_factory=dict)
    meddle: Callable[[GitRemote, Task], None] | None = None  # between the reports and the gate
    statuses: str
    runs: int
    outcomes: str
    errors: Mapping[int, str] = field(default_factory=dict)  # how a subtask's error begins


def good(count: int, *bad: int) -> tuple[Edits, ...]:
    """Return branches that add a file each; those of `bad` are broken."""
    return tuple(
        {str(number): "BUG\n" if number in bad else f"{number}\n"} for number in range(1, count + 1)
    )


def delete_branch(remote: GitRemote, goal: Task) -> None:
    branch = goal.subtasks.get(number=1).git_branch
    run_git(["update-ref", "-d", f"refs/heads/{branch}"], cwd=remote.path)


def move_branch(remote: GitRemote, goal: Task) -> None:
    task = goal.subtasks.get(number=1)
    remote.push(task.git_branch, {"late": "BUG\n"}, start=task.commit)


def move_branch_once_approved(remote: GitRemote, goal: Task) -> None:
    """The report was verified before the branch moved on: only what was verified is merged."""
    Task.objects.filter(parent=goal, number=1).update(status="merging")
    move_branch(remote, goal)


def force_push_main(remote: GitRemote, goal: Task) -> None:
    run_git(["update-ref", "-d", "refs/heads/main"], cwd=remote.path)
    remote.push("main", {"README": "another history\n"})


def unrelated_history(remote: GitRemote, goal: Task) -> None:
    commit_tree(remote, goal, 1, ())


def empty_diff(remote: GitRemote, goal: Task) -> None:
    Task.objects.filter(parent=goal, number=1).update(base_commit=goal.base_commit)
    commit_tree(remote, goal, 1, (goal.base_commit,))


def submodules(*ids: str) -> Callable[[GitRemote, Task], None]:
    """Put a submodule at `lib` into the first branches, each at another commit."""

    def meddle(remote: GitRemote, goal: Task) -> None:
        for number, id_ in enumerate(ids, start=1):
            commit_tree(remote, goal, number, (goal.base_commit,), f"160000 commit {id_}\tlib\n")

    return meddle


def commit_tree(
    remote: GitRemote, goal: Task, number: int, parents: tuple[str, ...], entry: str = ""
) -> None:
    """Let a subtask have reported the base's files and `entry`, on top of `parents`."""
    task = goal.subtasks.get(number=number)
    listing = run_git(["ls-tree", goal.base_commit], cwd=remote.path).stdout + entry
    tree = run_git(["mktree", "--missing"], cwd=remote.path, stdin=listing).stdout.strip()
    args = ["commit-tree", "-m", "made", tree, *(word for each in parents for word in ("-p", each))]
    commit = run_git(args, cwd=remote.path, env_extra=IDENTITY).stdout.strip()
    run_git(["update-ref", f"refs/heads/{task.git_branch}", commit], cwd=remote.path)
    Task.objects.filter(id=task.id).update(commit=commit)


SCENARIOS = (
    Scenario(name="one green", branches=good(1), statuses="completed", runs=1, outcomes="merged"),
    Scenario(
        name="three green",
        branches=good(3),
        statuses="completed completed completed",
        runs=1,
        outcomes="merged",
    ),
    Scenario(
        name="no test command",
        branches=good(2, 1),
        command="",
        statuses="completed completed",
        runs=0,
        outcomes="merged",
    ),
    Scenario(
        name="one alone is red: measured by the base, and run again",
        branches=good(1, 1),
        statuses="pending",
        runs=3,
        outcomes="suspect red",
        errors={1: f"the tests turned red: {GREEN!r} ended with 1"},
    ),
    Scenario(
        name="the first of three is red",
        branches=good(3, 1),
        statuses="pending completed completed",
        runs=4,
        outcomes="split suspect merged red",
    ),
    Scenario(
        name="the second of three is red",
        branches=good(3, 2),
        statuses="completed pending completed",
        runs=5,
        outcomes="split suspect merged red",
    ),
    Scenario(
        name="the last of three is red: what is left was tested on the way",
        branches=good(3, 3),
        statuses="completed completed pending",
        runs=4,
        outcomes="split suspect merged red",
    ),
    Scenario(
        name="two of four are red",
        branches=good(4, 2, 3),
        statuses="completed pending pending completed",
        runs=8,
        outcomes="split suspect suspect merged red red",
    ),
    Scenario(
        name="all are red",
        branches=good(2, 1, 2),
        statuses="pending pending",
        runs=6,
        outcomes="split suspect suspect red red",
    ),
    Scenario(
        name="two that only together are red cost the later one",
        branches=good(4),
        command=PAIR,
        statuses="completed completed pending completed",
        runs=5,
        outcomes="split suspect merged red",
    ),
    Scenario(
        name="a red base is blamed on nobody",
        branches=good(2),
        base={"broken": "BUG\n"},
        statuses="completed completed",
        runs=4,
        outcomes="base_red merged",
    ),
    Scenario(
        name="a red base is mended",
        branches=({"broken": "mended\n"}, {"2": "2\n"}),
        base={"broken": "BUG\n"},
        statuses="completed completed",
        runs=1,
        outcomes="merged",
    ),
    Scenario(
        name="what one broke another one mends",
        branches=({"1": "BUG\n"}, {"2": "MEND\n"}),
        command=MENDABLE,
        statuses="completed completed",
        runs=1,
        outcomes="merged",
    ),
    Scenario(
        name="the test command does not exist, neither on the base",
        branches=good(1),
        command="no-such-program",
        statuses="completed",
        runs=2,
        outcomes="base_red merged",
    ),
    Scenario(
        name="its own test costs a subtask, not its sibling",
        branches=good(2),
        own_tests={1: "test -e proof"},
        statuses="pending completed",
        runs=4,
        outcomes="merged own_red",
        errors={1: "its own test is red: 'test -e proof' ended with 1"},
    ),
    Scenario(
        name="its own test sees what its siblings add",
        branches=good(2),
        own_tests={1: "test -e 2"},
        statuses="completed completed",
        runs=2,
        outcomes="merged",
    ),
    Scenario(
        name="a conflict costs the later one",
        branches=({"README": "mine\n"}, {"README": "yours\n"}),
        statuses="completed pending",
        runs=1,
        outcomes="merged conflict",
        errors={2: "conflicts with the integration branch: README"},
    ),
    Scenario(
        name="what was in conflict with a culprit only is merged without it",
        branches=({"README": "BUG\n"}, {"README": "yours\n"}),
        statuses="pending completed",
        runs=4,
        outcomes="suspect red merged",
    ),
    Scenario(
        name="a binary file changed on both sides",
        branches=({"picture": "\0\1\n"}, {"picture": "\0\2\n"}),
        base={"picture": "\0\0\n"},
        statuses="completed pending",
        runs=1,
        outcomes="merged conflict",
        errors={2: "conflicts with the integration branch: picture"},
    ),
    Scenario(
        name="a large file's pointer is a file like others",
        branches=({"film": POINTER % ("a" * 64)}, {"film": POINTER % ("b" * 64)}),
        statuses="completed pending",
        runs=1,
        outcomes="merged conflict",
        errors={2: "conflicts with the integration branch: film"},
    ),
    Scenario(
        name="a file is renamed on one side and changed on the other",
        branches=({"old": None, "new": LONG}, {"old": LONG + "more\n"}),
        base={"old": LONG},
        command="grep -q more new && ! test -e old",
        statuses="completed completed",
        runs=1,
        outcomes="merged",
    ),
    Scenario(
        name="a file is renamed on both sides",
        branches=({"old": None, "one": LONG}, {"old": None, "two": LONG}),
        base={"old": LONG},
        command="true",
        statuses="completed pending",
        runs=1,
        outcomes="merged conflict",
    ),
    Scenario(
        name="a submodule is merged, not checked out",
        branches=good(2),
        meddle=submodules("a" * 40),
        command="! test -e lib/file",
        statuses="completed completed",
        runs=1,
        outcomes="merged",
    ),
    Scenario(
        name="a submodule at two commits",
        branches=good(2),
        meddle=submodules("a" * 40, "b" * 40),
        statuses="completed pending",
        runs=1,
        outcomes="merged conflict",
        errors={2: "conflicts with the integration branch: lib"},
    ),
    Scenario(
        name="a branch that is missing",
        branches=good(2),
        meddle=delete_branch,
        statuses="pending completed",
        runs=1,
        outcomes="merged",
        errors={1: "reported "},
    ),
    Scenario(
        name="a branch that moved after its report",
        branches=good(2),
        meddle=move_branch,
        statuses="pending completed",
        runs=1,
        outcomes="merged",
        errors={1: "reported "},
    ),
    Scenario(
        name="a branch that moved after it was verified",
        branches=good(2),
        meddle=move_branch_once_approved,
        statuses="completed completed",
        runs=1,
        outcomes="merged",
    ),
    Scenario(
        name="a history of its own",
        branches=good(2),
        meddle=unrelated_history,
        statuses="pending completed",
        runs=1,
        outcomes="conflict merged",
        errors={1: "conflicts with the integration branch: "},
    ),
    Scenario(
        name="an empty diff",
        branches=good(2),
        meddle=empty_diff,
        statuses="pending completed",
        runs=1,
        outcomes="merged",
        errors={1: "reported "},
    ),
    Scenario(
        name="the base branch was pushed by force",
        branches=good(2),
        meddle=force_push_main,
        statuses="completed completed",
        runs=1,
        outcomes="merged",
    ),
)


@pytest.mark.parametrize("case", SCENARIOS, ids=lambda case: case.name)
def test_scenario(case: Scenario, remote: GitRemote) -> None:
    if case.base:
        remote.push("main", case.base)
    titles = ",".join(f"Part {number}" for number in range(1, len(case.branches) + 1))
    goal = a_goal(remote, titles, case.command)
    for number, command in case.own_tests.items():
        Task.objects.filter(parent=goal, number=number).update(test_command=command)
    for number, edits in enumerate(case.branches, start=1):
        report(goal, number, remote, edits)
    if case.meddle:
        case.meddle(remote, goal)

    statuses = after_gate(goal)

    rows = list(MergeRun.objects.filter(goal=goal))
    assert " ".join(statuses) == case.statuses
    assert " ".join(row.outcome for row in rows) == case.outcomes
    assert TestRun.objects.filter(goal=goal).count() == case.runs
    assert goal.base_red == ("base_red" in case.outcomes)
    assert (pushed(goal, remote) or "") == goal.integration_commit
    assert {task.attempt for task in goal.subtasks.all()} == {1}
    for number, beginning in case.errors.items():
        assert goal.subtasks.get(number=number).error.startswith(beginning)
    assert [
        path.name for path in remote.path.parent.glob("home/worktrees/.merge/integrate/*-*")
    ] == []


def test_three_red_attempts_are_all_there_are(remote: GitRemote) -> None:
    goal = a_goal(remote, "One,Two")
    report(goal, 2, remote, {"2": "2\n"})
    for number in range(3):
        report(goal, 1, remote, {"1": f"BUG {number}\n"})
        statuses = after_gate(goal)

    assert statuses == ["failed", "completed"]
    assert goal.subtasks.get(number=1).attempt == 3
    # Two together: batch, one probe, what is left, again. Then twice alone on a green start.
    assert TestRun.objects.count() == 4 + 2 + 2
    assert goal.status == "failed"
