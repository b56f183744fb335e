"""Another node takes over in the middle of the gate: on one real remote, from two clones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from p2p.models import Record as StoredRecord
from p2p.registration import registry
from swarm.gate.gate import run_gate
from swarm.git.command import run_git
from swarm.models import FlakyTest, Job, Review, Task
from swarm.replication import terms
from swarm.replication.messages import TASKS, TaskUpdate
from swarm.review import services as reviews
from swarm.review.models import ReviewState
from swarm.services import goals
from swarm.states import JobStatus
from tests.support.gate_goals import a_goal, pushed, report
from tests.support.git_remote import GitRemote
from tests.support.handing_over import Killed, Pair, run_waiting
from tests.swarm.gate.test_killed_worker import _resolve

pytestmark = pytest.mark.faults

# The function after whose so manieth call at the old emperor another node has to go on.
STEPS = {
    "before the merge": ("swarm.gate.gate.verify_reports", 1),
    "before the test": ("swarm.gate.batches.Batch._merged", 1),
    "in the search": ("swarm.gate.batch.trials.end_run", 2),
    "before the push": ("swarm.gate.accepting.note_merge", 1),
    "after the push": ("swarm.git.integration.Integration.push", 1),
    "after the row": ("swarm.gate.accepting._complete_batch", 1),
    "after the sending back": ("swarm.gate.blame.Blame.red", 1),
}


def three_with_a_culprit(pair: Pair, remote: GitRemote) -> Task:
    with pair.at(pair.old):
        goal = a_goal(remote, "One,Two,Three")
        report(goal, 1, remote, {"1": "1\n"})
        report(goal, 2, remote, {"2": "BUG\n"})
        report(goal, 3, remote, {"3": "3\n"})
    return goal


def kill_old_after(pair: Pair, goal: Task, target: str, calls: int) -> None:
    """Let the old emperor's gate end for good when a function has returned so many times."""
    left, original = [calls], _resolve(target)

    def dying(*args: Any, **kwargs: Any) -> Any:
        answer = original(*args, **kwargs)
        left[0] -= 1
        if not left[0]:
            raise Killed
        return answer

    with pytest.MonkeyPatch.context() as patch, pair.at(pair.old), pytest.raises(Killed):
        patch.setattr(target, dying)
        run_gate(Task.objects.get(id=goal.id))


def fence_of(goal: Task, remote: GitRemote) -> dict[str, Any]:
    ref = f"refs/voidlux/gate/{goal.id8}"
    text = run_git(["cat-file", "commit", ref], cwd=remote.path).stdout
    return dict(msgspec.json.decode(text.partition("\n\n")[2]))


def integrated(goal: Task, remote: GitRemote) -> list[str]:
    """Return the tasks whose merges the pushed branch has, each as often as it was merged."""
    args = ["log", "--merges", "--format=%B", f"{goal.base_commit}..integrate/{goal.id8}"]
    return sorted(re.findall(r"^Task: (.+)$", run_git(args, cwd=remote.path).stdout, re.M))


def assert_integrated_once(pair: Pair, goal: Task, remote: GitRemote) -> None:
    """Each completed subtask is merged by one commit, and says in which pushed one it is."""
    done = [task for task in pair.subtasks(pair.new, goal.id) if task.status == "completed"]
    assert integrated(goal, remote) == sorted(str(task.id) for task in done)
    head = pushed(goal, remote)
    assert head is not None
    for task in done:
        for inside, outside in ((task.commit, task.merged_commit), (task.merged_commit, head)):
            run_git(["merge-base", "--is-ancestor", inside, outside], cwd=remote.path)


def wake_old(pair: Pair, goal: Task) -> Job:
    """Let the old emperor, which knows of nothing, run its gate again; returns the job."""
    with pair.at(pair.old):
        goals.enqueue_gate(Task.objects.get(id=goal.id), now=pair.cluster.now)
        [job] = run_waiting(goals.GATE)
    return job


def state_of_old(pair: Pair, goal: Task) -> list[tuple[str, int, str]]:
    """Return what the old emperor has: its goal first, then the subtasks."""
    with pair.at(pair.old):
        rows = [Task.objects.get(id=goal.id), *pair.subtasks(pair.old, goal.id)]
    return [(task.status, task.attempt, task.error) for task in rows]


def assert_left_alone(pair: Pair, goal: Task, job: Job, before: object) -> None:
    """The old emperor's job ended, and neither its goal nor anybody's work was judged."""
    assert (job.status, job.attempts) == (JobStatus.DONE, 0)
    assert job.error == (
        f"refs/voidlux/gate/{goal.id8} says term 2 of {pair.new.node_id[:8]}, "
        f"which outranks term 1 of {pair.old.node_id[:8]}: left to that one"
    )
    assert state_of_old(pair, goal) == before


@pytest.mark.parametrize(
    ("step", "told"),
    [
        *((step, "everything") for step in STEPS),
        ("after the push", "nothing of the gate"),
        ("after the sending back", "nothing of the gate"),
    ],
)
def test_the_next_emperor_ends_what_the_old_one_began_once(
    step: str, told: str, pair: Pair, remote: GitRemote
) -> None:
    goal = three_with_a_culprit(pair, remote)
    pair.tell()
    kill_old_after(pair, goal, *STEPS[step])
    if told == "everything":
        pair.tell()
    left = pushed(goal, remote)

    assert pair.take_over() == 4
    pair.judge(goal.id)

    tasks = pair.subtasks(pair.new, goal.id)
    assert [task.status for task in tasks] == ["completed", "pending", "completed"]
    assert [task.attempt for task in tasks] == [1, 1, 1]
    assert "the tests turned red" in tasks[1].feedback
    assert left in (None, pushed(goal, remote)), "what was pushed was proved, and is kept"
    assert_integrated_once(pair, goal, remote)
    assert fence_of(goal, remote)["term"] == 2

    refs, before = remote.refs(), state_of_old(pair, goal)
    assert_left_alone(pair, goal, wake_old(pair, goal), before)
    assert remote.refs() == refs

    with pair.at(pair.new):
        report(Task.objects.get(id=goal.id), 2, remote, {"2": "2\n"})
    ended = pair.judge(goal.id)
    assert ended.status == "completed"
    assert ended.result == f"integrate/{goal.id8} at {pushed(goal, remote)}"
    assert ended.merged_commit == pushed(goal, remote)
    assert_integrated_once(pair, goal, remote)
    assert len(integrated(goal, remote)) == 3


@pytest.mark.parametrize(
    ("step", "heard"),
    [
        ("swarm.gate.deciding.test_commit", True),
        ("swarm.gate.deciding.test_commit", False),
        ("swarm.gate.gate.decide_goal", False),
    ],
)
def test_a_goal_whose_whole_test_was_under_way_is_decided(
    step: str, heard: bool, pair: Pair, remote: GitRemote
) -> None:
    with pair.at(pair.old):
        goal = a_goal(remote, "One")
        report(goal, 1, remote, {"1": "1\n"})
    pair.tell()
    kill_old_after(pair, goal, step, 1)
    if heard:
        pair.tell()
    head = pushed(goal, remote)

    pair.take_over()

    ended = pair.judge(goal.id)
    assert (ended.status, ended.merged_commit) == ("completed", head)
    assert_integrated_once(pair, goal, remote)


def test_a_flaky_test_does_not_fail_what_the_old_emperor_had_proved(
    pair: Pair, remote: GitRemote, tmp_path: Path
) -> None:
    """Green at the old one, then red once where the new one takes in what was pushed."""
    red_once = tmp_path / "red-once"
    with pair.at(pair.old):
        goal = a_goal(remote, "One", f"test ! -e {red_once} || {{ rm {red_once}; false; }}")
        report(goal, 1, remote, {"1": "1\n"})
    pair.tell()
    kill_old_after(pair, goal, *STEPS["after the push"])
    red_once.touch()

    pair.take_over()

    ended = pair.judge(goal.id)
    assert (ended.status, ended.merged_commit) == ("completed", pushed(goal, remote))
    with pair.at(pair.new):
        assert FlakyTest.objects.get().flaky_times == 1
    assert_integrated_once(pair, goal, remote)


# Where the old emperor sleeps: calls of these functions return only after the take-over.
SLEEPS = (
    "swarm.gate.batch.trials.end_run",
    "swarm.gate.accepting.note_merge",
    "swarm.gate.accepting.require_same_office",
    "swarm.git.fence.Fence._write",
)


@pytest.mark.parametrize(
    ("place", "fenced"),
    [*((place, True) for place in SLEEPS), *((place, False) for place in SLEEPS[:2])],
)
def test_an_old_emperor_that_slept_before_its_push_changes_nothing(
    place: str, fenced: bool, pair: Pair, remote: GitRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The branch stands where the old one saw it last: the new one was told of no report."""
    if not fenced:
        monkeypatch.setattr("swarm.gate.gate.hold_fence", lambda goal, repository: None)
        monkeypatch.setattr("swarm.gate.accepting.require_same_office", lambda fence: None)
    with pair.at(pair.old):
        goal = a_goal(remote, "One")
    pair.tell()
    with pair.at(pair.old):
        report(goal, 1, remote, {"1": "1\n"})
    asleep: list[bool] = []
    refs: list[dict[str, str]] = []
    original = _resolve(place)

    def sleeping(*args: Any, **kwargs: Any) -> Any:
        answer = original(*args, **kwargs)
        if not asleep:
            asleep.append(True)
            pair.take_over()
            pair.judge(goal.id)
            refs.append(remote.refs())
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, sleeping)
        job = wake_old(pair, goal)

    assert len(refs) == 1
    if fenced:
        assert remote.refs() == refs[0]
        assert pushed(goal, remote) is None
        assert [status for status, _, _ in state_of_old(pair, goal)] == ["in_progress", "merging"]
        assert_left_alone(pair, goal, job, state_of_old(pair, goal))
    else:
        assert pushed(goal, remote) is not None, "nothing but the fence stands in the way"


def test_a_node_that_left_office_while_it_tested_pushes_nothing(
    pair: Pair, remote: GitRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pair.at(pair.old):
        goal = a_goal(remote, "One")
        report(goal, 1, remote, {"1": "1\n"})
    original = _resolve("swarm.gate.batch.trials.end_run")

    def leaving(*args: Any, **kwargs: Any) -> Any:
        answer = original(*args, **kwargs)
        terms.leave_office(pair.cluster.now)
        return answer

    monkeypatch.setattr("swarm.gate.batch.trials.end_run", leaving)
    job = wake_old(pair, goal)

    assert (job.status, job.attempts) == (JobStatus.DONE, 0)
    assert job.error == "left to another emperor"
    assert pushed(goal, remote) is None
    assert state_of_old(pair, goal)[0][0] == "in_progress"


def test_what_was_begun_in_an_earlier_office_of_the_same_node_is_begun_anew(
    pair: Pair, remote: GitRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pair.at(pair.old):
        goal = a_goal(remote, "One")
        report(goal, 1, remote, {"1": "1\n"})
    original = _resolve("swarm.gate.batch.trials.end_run")

    def returning(*args: Any, **kwargs: Any) -> Any:
        answer = original(*args, **kwargs)
        terms.take_office(pair.cluster.now, 3)
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("swarm.gate.batch.trials.end_run", returning)
        job = wake_old(pair, goal)
    assert (job.status, job.error) == (
        JobStatus.QUEUED,
        "the gate began under term 1, and it is term 3 now",
    )
    assert pushed(goal, remote) is None

    with pair.at(pair.old):
        [again] = run_waiting(goals.GATE)
    assert again.status == JobStatus.DONE
    assert state_of_old(pair, goal)[0][0] == "completed"
    assert fence_of(goal, remote)["term"] == 3


def test_reviews_that_waited_at_the_old_emperor_are_opened_anew(
    pair: Pair, remote: GitRemote
) -> None:
    for node in (pair.old, pair.new):
        node.environment = node.environment.model_copy(update={"reviewer": "human"})
    with pair.at(pair.old):
        goal = a_goal(remote, "One")
        report(goal, 1, remote, {"1": "1\n"})
        run_gate(Task.objects.get(id=goal.id))
        assert Review.objects.get().state == ReviewState.WAITING

    pair.tell()
    pair.take_over()
    pair.judge(goal.id)

    with pair.at(pair.new):
        review = Review.objects.get()
        assert review.state == ReviewState.WAITING
        assert review.test_run is not None
        assert review.test_run.passed
        reviews.accept(review.id, by=reviews.human("grace"), now=pair.cluster.now)
    assert pair.judge(goal.id).status == "completed"
    assert_integrated_once(pair, goal, remote)


def test_a_goal_of_a_swarm_without_members_leaves_no_fence(pair: Pair, remote: GitRemote) -> None:
    alone = pair.cluster.add("alone")
    with pair.at(alone):
        goal = a_goal(remote, "One")
        report(goal, 1, remote, {"1": "1\n"})
        run_gate(goal)
        assert Task.objects.get(id=goal.id).status == "completed"

    assert [ref for ref in remote.refs() if ref.startswith("refs/voidlux/")] == []


def test_with_members_a_refused_fence_fails_the_goal_with_the_remotes_words(
    pair: Pair, remote: GitRemote
) -> None:
    hook = remote.path / "hooks" / "update"
    hook.write_text('#!/bin/sh\ncase "$1" in refs/voidlux/*) echo no such refs; exit 1;; esac\n')
    hook.chmod(0o755)
    with pair.at(pair.old):
        goal = a_goal(remote, "One")
        report(goal, 1, remote, {"1": "1\n"})
        goals.enqueue_gate(goal, now=pair.cluster.now)
        Job.objects.filter(kind=goals.GATE).update(attempts_max=1)
        [job] = run_waiting(goals.GATE)
        failed = Task.objects.get(id=goal.id)

    assert job.status == JobStatus.FAILED
    assert failed.status == "failed"
    assert f"integrate/{goal.id8} with the fence refs/voidlux/gate/{goal.id8}" in failed.error
    assert "no such refs" in failed.error
    assert pushed(goal, remote) is None


def test_who_takes_over_learns_of_the_pushed_commit_before_it_may_begin_on_it(
    pair: Pair, remote: GitRemote
) -> None:
    """A dependant that begins without its prerequisite's work would be in vain."""
    with pair.at(pair.old):
        goal = a_goal(remote, "One,Two")
        task = report(goal, 1, remote, {"1": "1\n"})
        run_gate(Task.objects.get(id=goal.id))
        records = StoredRecord.objects.filter(topic=TASKS)
        of_goal, of_task = (records.get(key=each.id.hex) for each in (goal, task))

    said = registry.decode(bytes(of_goal.frame))
    assert isinstance(said, TaskUpdate)
    assert said.task.integration_commit == pushed(goal, remote)
    assert of_goal.seq < of_task.seq
