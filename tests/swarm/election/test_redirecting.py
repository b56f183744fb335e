"""Runs whose assigner changes: told anew, once, and obedient to the new emperor alone."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.conf import settings

from p2p.models import InboxMessage, OutboxMessage
from swarm import jobs as swarm_jobs
from swarm.agents.places import worktree_of
from swarm.election import office
from swarm.election.redirecting import redirect_runs
from swarm.models import Agent, Attempt, Job, Task, TaskCopy
from swarm.replication import terms
from swarm.replication.agents import publish_all
from swarm.services import asking, goals, jobs, reports, withdrawals
from swarm.services.answering import answer_task
from swarm.services.dispatch import dispatch_ready
from swarm.services.lifecycle import requeue_task
from swarm.services.reconciliation import reconcile_tasks
from swarm.states import AttemptStatus, TaskStatus
from tests.support.cluster import Cluster, Faults
from tests.support.successions import Succession
from tests.support.trading import BASE, COMMIT, judge


@pytest.fixture
def succession(cluster: Cluster) -> Succession:
    """Three members, and an agent at the third."""
    return Succession.open(cluster, "third")


def work(succession: Succession, place: str = "third") -> Task:
    """Let the agent of a place work under the old emperor; returns the goal."""
    goal = succession.swarm.goal(1)
    succession.swarm.dispatch()
    succession.swarm.talk()
    succession.swarm.begin(succession.at(place))
    succession.swarm.talk()
    return goal


def commands(succession: Succession, number: int) -> list[OutboxMessage]:
    """Return the third member's commands of a number, oldest first."""
    with succession.cluster.acting(succession.third):
        rows = OutboxMessage.objects.filter(kind="command", number=number)
        return list(rows.order_by("id"))


def test_redirecting_again_changes_nothing(succession: Succession) -> None:
    work(succession)
    succession.cut()
    succession.succeed()
    sent = len(commands(succession, 0x11))

    with succession.cluster.acting(succession.third):
        assert redirect_runs(succession.heir.node_id, succession.cluster.now) == 0

    assert len(commands(succession, 0x11)) == sent == 2


def test_hired_runs_and_runs_that_are_long_over_keep_their_assigner(
    succession: Succession,
) -> None:
    work(succession)
    cluster = succession.cluster
    with cluster.acting(succession.third):
        Attempt.objects.update(tribute_id=uuid4())
        old = Attempt.objects.create(
            task_id=uuid4(),
            assigner_node_id=succession.lost.node_id,
            title="t",
            number=1,
            generation=1,
            repository="/srv/r.git",
            base_commit=BASE,
            branch="task/1",
            status=AttemptStatus.SUCCEEDED,
            created_at=cluster.now - timedelta(days=1),
            ended_at=cluster.now - timedelta(days=1),
        )
        assert redirect_runs(succession.heir.node_id, cluster.now) == 0
        assert set(Attempt.objects.values_list("assigner_node_id", flat=True)) == {
            succession.lost.node_id
        }
        assert Attempt.objects.filter(id=old.id).exists()


@pytest.mark.parametrize("answered", ["no", "lost", "arrived"])
def test_a_question_is_asked_again_unless_its_answer_has_come(
    succession: Succession, answered: str
) -> None:
    cluster, swarm = succession.cluster, succession.swarm
    goal = work(succession)
    succession.ask(succession.third, "Which one?")
    swarm.talk()
    if answered == "lost":
        succession.cut(succession.third)
    if answered != "no":
        with cluster.acting(succession.lost):
            [task] = Task.objects.filter(parent_id=goal.id)
            answer_task(task.id, text="yes", now=cluster.now)
        swarm.talk()
    if answered == "arrived":
        succession.cut()
        with cluster.acting(succession.third):
            [run] = Attempt.objects.all()
            asking.note_answer_delivered(run.id, now=cluster.now)
            assert asking.note_sign_of_life(run.id, now=cluster.now)
    succession.cut()

    succession.succeed()

    task = succession.task(goal)
    if answered == "arrived":
        assert task.status == TaskStatus.IN_PROGRESS
    else:
        assert (task.status, task.question, task.answered_at) == (
            *("waiting_input", "Which one?", None),
        )
        with cluster.acting(succession.heir):
            answer_task(task.id, text="no", now=cluster.now)
        swarm.talk()
        with cluster.acting(succession.third):
            assert Attempt.objects.get().answer == "no"


def test_an_answer_of_the_old_emperor_comes_too_late(succession: Succession) -> None:
    cluster = succession.cluster
    goal = work(succession)
    succession.ask(succession.third, "Which one?")
    succession.swarm.talk()
    succession.cut()
    succession.succeed()
    with cluster.acting(succession.lost):
        [task] = Task.objects.filter(parent_id=goal.id)
        answer_task(task.id, text="yes", now=cluster.now)
    succession.mend()
    succession.swarm.talk()

    with cluster.acting(succession.third):
        refused = InboxMessage.objects.get(number=0x1A)
        assert (refused.accepted, refused.code) == (False, "not_found")
        assert Attempt.objects.get().answer == ""


def test_the_word_of_the_old_emperor_stops_no_run_any_more(succession: Succession) -> None:
    cluster = succession.cluster
    goal = work(succession)
    succession.cut()
    succession.succeed()
    with cluster.acting(succession.lost):
        [task] = Task.objects.filter(parent_id=goal.id)
        requeue_task(task.id, reason="again", now=cluster.now)
        dispatch_ready(cluster.now)
    succession.mend()
    succession.swarm.talk()

    [run] = succession.open_runs()["third"]
    assert (run.generation, run.assigner_node_id) == (1, succession.heir.node_id)
    assert succession.task(goal).status == TaskStatus.IN_PROGRESS


def test_an_assignment_of_the_old_emperor_is_refused(cluster: Cluster) -> None:
    succession = Succession.open(cluster, "third")
    succession.swarm.goal(1)
    succession.swarm.talk()
    succession.cut()
    succession.swarm.dispatch()
    with cluster.acting(succession.heir):
        terms.take_office(cluster.now)
    succession.swarm.talk()
    succession.mend()
    cluster.now += timedelta(seconds=3)
    with cluster.acting(succession.lost):
        OutboxMessage.objects.filter(kind="record").delete()
    succession.swarm.talk()

    with cluster.acting(succession.third):
        assert not Attempt.objects.exists()
        told = OutboxMessage.objects.get(kind="command", number=0x14)
        assert b'"stale_term"' in bytes(told.frame)


def test_the_withdrawal_of_the_new_emperor_stops_a_run_of_the_one_before(
    succession: Succession,
) -> None:
    cluster = succession.cluster
    goal = work(succession)
    succession.cut()
    succession.succeed()
    with cluster.acting(succession.heir):
        requeue_task(succession.task(goal).id, reason="again", now=cluster.now)
    succession.swarm.talk()

    assert succession.open_runs()["third"] == []
    with cluster.acting(succession.third):
        scope = withdrawals.SWARM
        assert withdrawals.newest_dispatch(scope, succession.task(goal).id) == 1


def test_a_new_dispatch_ends_the_run_of_the_one_before(succession: Succession) -> None:
    cluster = succession.cluster
    goal = work(succession)
    succession.cut()
    succession.succeed()
    with cluster.acting(succession.third):
        Agent.objects.create(
            name="second",
            tool="shell",
            session="s",
            status="ready",
            capabilities=["python"],
            status_since=cluster.now,
            registered_at=cluster.now,
        )
        publish_all(cluster.now)
    succession.swarm.talk()
    succession.cut(succession.heir)
    cluster.cut.add(frozenset(("first", "second")))
    with cluster.acting(succession.heir):
        requeue_task(succession.task(goal).id, reason="again", now=cluster.now)
        OutboxMessage.objects.filter(number=0x19).delete()
        OutboxMessage.objects.filter(number=0x1C).delete()
        assert dispatch_ready(cluster.now) == 1
    cluster.cut.discard(frozenset(("first", "second")))
    succession.swarm.talk()

    [run] = succession.open_runs()["third"]
    assert run.generation == succession.task(goal).generation == 102
    with cluster.acting(succession.third):
        assert Attempt.objects.get(generation=1).status == AttemptStatus.CANCELLED


def test_a_run_that_the_new_emperor_gave_out_itself_is_not_there_twice(
    succession: Succession,
) -> None:
    work(succession)
    cluster = succession.cluster
    with cluster.acting(succession.third):
        run = Attempt.objects.get()
        Attempt.objects.create(
            **{
                field.attname: getattr(run, field.attname)
                for field in Attempt._meta.concrete_fields
                if field.attname not in ("id", "assigner_node_id")
            },
            assigner_node_id=succession.heir.node_id,
        )
        assert redirect_runs(succession.heir.node_id, cluster.now) == 0
        run.refresh_from_db()
        assert run.status == AttemptStatus.CANCELLED


def test_heartbeats_renew_the_lease_at_the_new_emperor(succession: Succession) -> None:
    cluster = succession.cluster
    goal = work(succession)
    succession.cut()
    succession.succeed()
    for _ in range(12):
        with cluster.acting(succession.third):
            Attempt.objects.update(progress_at=cluster.now)
        succession.swarm.beat()
        cluster.step(settings.ENVIRONMENT.lease_s / 4)
        with cluster.acting(succession.heir):
            assert goals.requeue_lapsed(cluster.now) == 0
    assert succession.task(goal).progress == "compiling"


def test_the_heirs_own_run_reports_to_itself_and_is_not_queued_anew(cluster: Cluster) -> None:
    succession = Succession.open(cluster, "heir")
    goal = work(succession, "heir")
    succession.cut()
    with cluster.acting(succession.heir):
        terms.take_office(cluster.now)
        redirect_runs(succession.heir.node_id, cluster.now)  # too early: nothing is adopted
        assert Attempt.objects.get().status == AttemptStatus.WORKING
        office.settle(cluster.now)
        reconcile_tasks(cluster.now)

    task = succession.task(goal)
    assert (task.status, task.generation) == ("in_progress", 1)
    assert succession.swarm.finish(succession.heir) == 1
    assert succession.task(goal).status == TaskStatus.PENDING_REVIEW


@pytest.mark.parametrize("place", ["third", "heir", "lost"])
def test_a_run_goes_on_in_its_worktree_and_gives_signs_of_life_where_they_count(
    cluster: Cluster, place: str
) -> None:
    succession = Succession.open(cluster, place)
    goal = work(succession, place)
    node = succession.at(place)
    with cluster.acting(node):
        watched = Attempt.objects.get()  # whoever watches it holds the row as it was
        began_in = worktree_of(watched)
    succession.cut()
    succession.succeed()
    succession.come_back()
    cluster.now += timedelta(seconds=settings.ENVIRONMENT.lease_s / 2)

    with cluster.acting(node):
        reports.report_progress(watched, "still at it", now=cluster.now)
        assert worktree_of(Attempt.objects.get()) == began_in
    succession.swarm.beat()
    succession.swarm.talk()

    task = succession.task(goal)
    assert (task.status, task.progress) == (TaskStatus.IN_PROGRESS, "still at it")
    assert task.lease_expires_at == reports.lease_end(cluster.now)


def test_the_heirs_own_run_that_ended_unheard_counts(cluster: Cluster) -> None:
    succession = Succession.open(cluster, "heir")
    goal = work(succession, "heir")
    succession.cut()
    succession.swarm.finish(succession.heir)
    succession.succeed()

    task = succession.task(goal)
    assert (task.status, task.commit) == ("pending_review", COMMIT)


def test_a_run_of_the_heir_that_it_does_not_want_ends(cluster: Cluster) -> None:
    succession = Succession.open(cluster, "heir")
    goal = work(succession, "heir")
    succession.cut()
    with cluster.acting(succession.heir):
        for copy in TaskCopy.objects.filter(parent_id=goal.id):
            copy.body = {**copy.body, "generation": 2, "assigned_node": succession.third.node_id}
            copy.save()
    succession.succeed()

    assert succession.open_runs()["heir"] == []
    with cluster.acting(succession.heir):
        assert Agent.objects.get().attempt is None


def test_a_run_that_leaves_its_own_emperor_takes_its_limits_along(cluster: Cluster) -> None:
    succession = Succession.open(cluster, "lost")
    goal = work(succession, "lost")
    with cluster.acting(succession.lost):
        Task.objects.filter(id=goal.id).update(token_limit=100)
        Task.objects.filter(parent_id=goal.id).update(tokens_used=70)
        Attempt.objects.update(tokens_used=30)
    succession.cut()
    succession.succeed()
    succession.come_back()

    [run] = succession.open_runs()["lost"]
    assert (run.token_limit, run.cost_limit_micros) == (60, None)


def test_what_ended_is_told_again_when_the_emperor_still_waits_for_it(
    succession: Succession,
) -> None:
    """Its report met an emperor that had not heard of the task yet."""
    cluster, swarm = succession.cluster, succession.swarm
    succession.cut(succession.heir)
    goal = work(succession)
    with cluster.acting(succession.heir):
        terms.take_office(cluster.now)
        office.settle(cluster.now)
    succession.cut()
    swarm.finish(succession.third)
    swarm.talk()
    succession.follow(succession.third)
    swarm.talk()
    [complete] = commands(succession, 0x13)[-1:]
    assert complete.outcome == "not_found"

    succession.come_back()

    task = succession.task(goal)
    assert (task.status, task.commit) == ("pending_review", COMMIT)


def test_said_twice_a_completion_changes_nothing(succession: Succession) -> None:
    goal = work(succession)
    succession.swarm.finish(succession.third)
    succession.swarm.talk()
    [run] = succession.swarm.runs(succession.third)
    with succession.cluster.acting(succession.third):
        reports.report_completion(run, now=succession.cluster.now)
    succession.swarm.talk()

    assert [row.outcome for row in commands(succession, 0x13)] == ["accepted", "accepted"]
    assert succession.swarm.statuses(goal) == ["pending_review"]


def test_a_claim_of_a_stranger_takes_nothing_over(cluster: Cluster) -> None:
    succession = Succession.open(cluster)
    goal = succession.swarm.goal(1)
    succession.swarm.talk()
    succession.cut()
    succession.succeed()
    task = succession.task(goal)
    with cluster.acting(succession.heir), pytest.raises(reports.ExternalError):
        reports.apply_claim(
            task.id,
            generation=1,
            from_node_id="e" * 32,
            agent_id=uuid4(),
            agent_name="x",
            branch=f"task/{task.id8}",
            now=cluster.now,
        )
    assert succession.task(goal).status == TaskStatus.PENDING


def test_a_job_whose_goal_was_left_ends_quietly(cluster: Cluster) -> None:
    succession = Succession.open(cluster)
    goal = succession.swarm.goal(1)
    with cluster.acting(succession.lost):
        goals.enqueue_gate(goal, now=cluster.now)
        job = jobs.claim(Job.objects.get(kind="gate").id, now=cluster.now)
        assert job is not None
        terms.leave_office(cluster.now)
        office.step_down(cluster.now)
        swarm_jobs._failed(job, "no task", retryable=False)
        job.refresh_from_db()
        assert (job.status, job.error) == ("done", "left to another emperor")
        assert Task.with_released.get(id=goal.id).status == TaskStatus.IN_PROGRESS


@pytest.mark.parametrize("seed", range(3))
def test_every_goal_ends_once_whatever_the_network_does(cluster: Cluster, seed: int) -> None:
    succession = Succession.open(cluster, "third", "heir", "lost")
    swarm = succession.swarm
    cluster.random.seed(seed)
    goals_ = [swarm.goal(2) for _ in range(2)]
    cluster.faults = Faults(drop=0.2, duplicate=0.2, reorder=True)
    for _ in range(cluster.random.randrange(6)):
        swarm.dispatch()
        swarm.talk(1)
        for node in swarm.members:
            swarm.begin(node)
        if cluster.random.random() < 0.5:
            swarm.finish(cluster.random.choice(swarm.members))
        cluster.step(cluster.random.choice((0.1, 3.0)))
    succession.cut()
    swarm.dispatch()
    succession.succeed()
    swarm.talk(2)
    cluster.faults = Faults()
    succession.come_back()
    for _ in range(12):
        with cluster.acting(succession.heir):
            goals.requeue_lapsed(cluster.now)
            for task in Task.objects.filter(status=TaskStatus.PENDING_REVIEW):
                judge(task, TaskStatus.COMPLETED, cluster)
        succession.dispatch()
        swarm.beat()
        cluster.step(20.0)
        swarm.sync()
        succession.adopt()
        for node in swarm.members:
            swarm.begin(node)
            swarm.finish(node)
        swarm.talk()
    for goal in goals_:
        assert [task.status for task in succession.tasks(goal)] == ["completed", "completed"]
    assert [run for runs in succession.open_runs().values() for run in runs] == []
