"""Runs whose assigner changes: told anew, once, and obedient to the new emperor alone."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.conf import settings

from p2p.models import InboxMessage, OutboxMessage
from swarm.agents.places import worktree_of
from swarm.election import office
from swarm.election.redirecting import redirect_runs
from swarm.models import Agent, Attempt, Task, TaskCopy
from swarm.replication import terms
from swarm.replication.agents import publish_all
from swarm.services import asking, goals, reports, withdrawals
from swarm.services.answering import answer_task
from swarm.services.dispatch import dispatch_ready
from swarm.services.lifecycle import requeue_task
from swarm.services.reconciliation import reconcile_tasks
from swarm.states import AttemptStatus, TaskStatus
from tests.support.cluster import Cluster
from tests.support.successions import Succession
from tests.support.trading import BASE, COMMIT


def test_redirecting_again_changes_nothing(succession: Succession) -> None:
    succession.work()
    succession.cut()
    succession.succeed()
    sent = len(succession.commands(0x11))

    with succession.cluster.acting(succession.third):
        assert redirect_runs(succession.heir.node_id, succession.cluster.now) == 0

    assert len(succession.commands(0x11)) == sent == 2


def test_hired_runs_and_runs_that_are_long_over_keep_their_assigner(
    succession: Succession,
) -> None:
    succession.work()
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
    goal = succession.work()
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
    goal = succession.work()
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
    goal = succession.work()
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
    goal = succession.work()
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
    goal = succession.work()
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
    succession.work()
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
    goal = succession.work()
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
    goal = succession.work("heir")
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
    goal = succession.work(place)
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
    goal = succession.work("heir")
    succession.cut()
    succession.swarm.finish(succession.heir)
    succession.succeed()

    task = succession.task(goal)
    assert (task.status, task.commit) == ("pending_review", COMMIT)


def test_a_run_of_the_heir_that_it_does_not_want_ends(cluster: Cluster) -> None:
    succession = Succession.open(cluster, "heir")
    goal = succession.work("heir")
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
    goal = succession.work("lost")
    with cluster.acting(succession.lost):
        Task.objects.filter(id=goal.id).update(token_limit=100)
        Task.objects.filter(parent_id=goal.id).update(tokens_used=70)
        Attempt.objects.update(tokens_used=30)
    succession.cut()
    succession.succeed()
    succession.come_back()

    [run] = succession.open_runs()["lost"]
    assert (run.token_limit, run.cost_limit_micros) == (60, None)
