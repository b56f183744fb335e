"""What SQLite does one after the other must hold on PostgreSQL, where transactions overlap."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from marketplace.errors import InsufficientFunds
from marketplace.models import Execution, LedgerEntry, Tribute, Wallet
from marketplace.services import hiring, settlement, tributes, wallet
from marketplace.states import EntryKind, ExecutionStatus, TributeStatus
from p2p import clock, inbox, outbox, relay
from p2p.local import local_node
from p2p.models import InboxMessage, NodeState, OutboxKind, OutboxMessage
from p2p.protocol.codec import Received
from p2p.protocol.errors import DomainError
from p2p.protocol.identity import Identity
from p2p.protocol.signing import open_sealed, seal
from p2p.registration import registry
from swarm.errors import WrongState
from swarm.messages import TaskProgress
from swarm.models import Agent, Job, Task, TaskEvent
from swarm.services import agents, goals, jobs
from swarm.services.transitions import move_task
from swarm.states import Actor, JobStatus, TaskStatus
from tests.services.conftest import NETWORK
from tests.support.factories import (
    SELLER,
    make_agent,
    make_attempt,
    make_execution,
    make_offering,
    make_task,
    make_tribute,
)
from tests.support.racing import WAIT_S, Database

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
RACERS = 4
EACH = 15

pytestmark = pytest.mark.processes


def hold(amount: int, reference: str) -> LedgerEntry | None:
    return wallet.move(
        wallet.Movement(kind=EntryKind.HOLD, reference=reference, amount=amount), now=NOW
    )


def ledger_adds_up() -> bool:
    balance = held = 0
    for entry in LedgerEntry.objects.order_by("id"):
        of_balance, of_held = wallet.EFFECT[EntryKind(entry.kind)]
        balance, held = balance + of_balance * entry.amount, held + of_held * entry.amount
        if (entry.balance_after, entry.held_after) != (balance, held):
            return False
    return Wallet.objects.filter(id=1, balance=balance, held=held).exists()


def test_holds_that_race_never_exceed_the_balance(database: Database) -> None:
    wallet.grant_initial(10, now=NOW)

    results = database.race(*(partial(hold, 3, f"{n}") for n in range(8)))

    refused = [each for each in results if isinstance(each, InsufficientFunds)]
    assert (len(refused), Wallet.objects.get().held) == (5, 9)
    assert ledger_adds_up()


def test_one_reference_moves_money_once(database: Database) -> None:
    wallet.grant_initial(10, now=NOW)

    results = database.race(*[partial(hold, 3, "same")] * RACERS)

    assert sum(isinstance(each, LedgerEntry) for each in results) == 1
    assert results.count(None) == RACERS - 1
    assert Wallet.objects.get().held == 3


def test_the_first_grant_is_given_once(database: Database) -> None:
    database.race(*[partial(wallet.grant_initial, 10, now=NOW)] * RACERS)

    assert Wallet.objects.get().balance == 10
    assert LedgerEntry.objects.count() == 1


def test_a_job_is_claimed_once(database: Database) -> None:
    job = jobs.enqueue("gate", key="a", lane="one", now=NOW)

    results = database.race(*[partial(jobs.claim, job.id, now=NOW)] * RACERS)

    assert results.count(None) == RACERS - 1
    assert Job.objects.get().status == JobStatus.RUNNING


def test_one_job_of_a_lane_is_claimed(database: Database) -> None:
    waiting = [jobs.enqueue("gate", key=key, lane="one", now=NOW) for key in "abcd"]

    results = database.race(*(partial(jobs.claim, job.id, now=NOW) for job in waiting))

    assert results.count(None) == len(waiting) - 1
    assert Job.objects.filter(status=JobStatus.RUNNING).count() == 1


def test_a_job_is_queued_once(database: Database) -> None:
    enqueue = partial(jobs.enqueue, "gate", key="a", lane="one", now=NOW)

    results = database.race(*[enqueue] * RACERS)

    assert len({job.id for job in results}) == 1


def test_a_job_does_not_start_before_what_it_was_queued_for_can_be_seen(
    database: Database,
) -> None:
    job = jobs.enqueue("gate", key="a", lane="one", now=NOW)
    claimed: list[tuple[Any, bool]] = []

    def claim() -> None:
        with database.used():
            taken = jobs.claim(job.id, now=NOW)
            claimed.append((taken, Task.objects.filter(title="ready").exists()))

    worker = threading.Thread(target=claim)
    with transaction.atomic():
        make_task("ready", TaskStatus.PENDING_REVIEW)
        assert jobs.enqueue("gate", key="a", lane="one", now=NOW).id == job.id
        worker.start()
        database.await_waiter()
    worker.join(WAIT_S)

    assert [(taken.id, seen) for taken, seen in claimed] == [(job.id, True)]


def test_an_agent_gets_one_attempt(database: Database) -> None:
    agent = make_agent("one")
    tasks = [make_task(f"{n}", TaskStatus.CLAIMED, attempt=1) for n in range(RACERS)]
    attempts = [make_attempt(task, make_agent(f"other-{task.title}")) for task in tasks]
    Agent.objects.exclude(id=agent.id).delete()

    results = database.race(
        *(partial(agents.take_agent, agent, attempt, now=NOW) for attempt in attempts)
    )

    assert sorted(results) == [False] * (RACERS - 1) + [True]


def test_agents_are_reserved_all_or_none(database: Database) -> None:
    for name in ("one", "two", "three"):
        make_agent(name)

    def reserve(name: str) -> list[Agent]:
        until = NOW + timedelta(minutes=1)
        return agents.reserve_agents(2, reserved_for=name, until=until, now=NOW)

    results = database.race(*(partial(reserve, f"tribute:{n}") for n in range(RACERS)))

    refusals = [each.code for each in results if isinstance(each, DomainError)]
    assert refusals == ["no_idle_agents"] * (RACERS - 1)
    reserved = Agent.objects.exclude(reserved_for="").values_list("reserved_for", flat=True)
    assert (len(reserved), len(set(reserved))) == (2, 1)


def test_of_two_racing_moves_one_moves_the_task(database: Database) -> None:
    task = make_task("contested", TaskStatus.PENDING_REVIEW)

    def move(target: TaskStatus, by: Actor) -> Task:
        return move_task(task.id, target, by=by, reason="race", now=NOW)

    results = database.race(
        partial(move, TaskStatus.MERGING, Actor.GATE),
        partial(move, TaskStatus.PENDING, Actor.GATE),
        partial(move, TaskStatus.FAILED, Actor.GATE),
    )

    moved = [each for each in results if isinstance(each, Task)]
    refused = [each for each in results if isinstance(each, WrongState)]
    assert len(moved) + len(refused) == 3
    history = TaskEvent.objects.filter(task=task, reason="race").order_by("id")
    statuses = [TaskStatus.PENDING_REVIEW, *(event.target for event in history)]
    assert [event.source for event in history] == statuses[:-1]
    task.refresh_from_db()
    assert task.status == statuses[-1]


def test_the_clock_never_gives_one_value_twice(database: Database) -> None:
    def tick_often() -> list[int]:
        return [_in_transaction(partial(clock.tick, NOW)) for _ in range(EACH)]

    values = [value for each in database.race(*[tick_often] * RACERS) for value in each]

    assert len(set(values)) == RACERS * EACH
    assert int(NodeState.objects.get(key="clock").value) == max(values)


def test_records_are_numbered_without_gap_or_repetition(database: Database) -> None:
    def number_often() -> list[int]:
        return [_in_transaction(partial(clock.next_seq, "topic"))[1] for _ in range(EACH)]

    values = [value for each in database.race(*[number_often] * RACERS) for value in each]

    assert sorted(values) == list(range(1, RACERS * EACH + 1))


def test_a_command_that_comes_over_two_connections_acts_once(database: Database) -> None:
    stranger = Identity.generate()
    task = make_task(
        "worked on", TaskStatus.CLAIMED, assigned_node=stranger.node_id, attempt=1, generation=1
    )
    received = a_life_sign(stranger, task)

    results = database.race(*[partial(inbox.apply_batch, [received], NOW)] * RACERS)

    assert results == [None] * RACERS
    assert InboxMessage.objects.get().accepted
    assert TaskEvent.objects.filter(task=task, target=TaskStatus.IN_PROGRESS).count() == 1
    assert OutboxMessage.objects.filter(kind=OutboxKind.ANSWER).count() == 1


def a_life_sign(sender: Identity, task: Task) -> Received[Any]:
    message = TaskProgress(
        origin=sender.node_id,
        public_key=sender.public_key_text,
        lamport_ts=1,
        to=local_node().node_id,
        msg_id=uuid.uuid4().hex,
        task_id=task.id.hex,
        agent_id="3" * 32,
        generation=1,
        status="in_progress",
        progress="busy",
        git_branch=f"task/{task.id8}",
    )
    return open_sealed(seal(message, sender, NETWORK), NETWORK, registry)


def test_a_command_can_be_sent_outside_a_transaction(database: Database) -> None:
    def send() -> OutboxMessage:
        return outbox.send_command(
            TaskProgress,
            to_node_id=SELLER,
            now=NOW,
            task_id="2" * 32,
            agent_id="3" * 32,
            generation=1,
            status="in_progress",
            progress="busy",
            git_branch="task/22222222",
        )

    results = database.race(*[send] * RACERS)

    assert len({row.msg_id for row in results}) == RACERS
    [clocks] = [{registry.decode(bytes(row.frame)).lamport_ts for row in results}]  # type: ignore[attr-defined]
    assert len(clocks) == RACERS


def test_events_can_be_seen_in_the_order_of_their_numbers(database: Database) -> None:
    """Who has followed up to a number may rely on having missed nothing below it."""
    other = threading.Thread(target=partial(_publish, database, "second"))
    with transaction.atomic():
        outbox.publish_event("task_update", "first", {}, now=NOW)
        other.start()
        database.await_waiter()
    other.join(WAIT_S)

    events = [row.event["event"] for row, _ in relay.take_due(NOW) if row.event]
    assert events == ["first", "second"]


def _publish(database: Database, event: str) -> None:
    with database.used():
        outbox.publish_event("task_update", event, {}, now=NOW)


def test_nothing_is_bought_for_a_goal_that_ends_at_that_moment(database: Database) -> None:
    wallet.grant_initial(10, now=NOW)
    goal = make_task("goal", TaskStatus.IN_PROGRESS)
    offering = make_offering(now=NOW)
    refused: list[str] = []

    def buy() -> None:
        with database.used(), pytest.raises(WrongState) as refusal:
            tributes.request_tribute(
                offering_id=offering.id, task_count=1, goal_id=goal.id, now=NOW
            )
        refused.append(refusal.value.code)

    buyer = threading.Thread(target=buy)
    with transaction.atomic():
        goals.cancel_task(goal.id, reason="enough", now=NOW)
        buyer.start()
        database.await_waiter()
    buyer.join(WAIT_S)

    assert refused == ["wrong_state"]
    assert (Wallet.objects.get().held, Tribute.objects.count()) == (0, 0)


def test_two_tasks_do_not_share_the_last_place_of_a_tribute(database: Database) -> None:
    goal = make_task("goal", TaskStatus.IN_PROGRESS)
    tasks = [make_task(f"{n}", TaskStatus.PENDING, parent=goal) for n in range(RACERS)]
    tribute = make_tribute(goal_id=goal.id, task_count=1, status=TributeStatus.ACCEPTED)

    def hire(task: Task) -> Any:
        return _in_transaction(partial(hiring.hire, task, NOW))

    results = database.race(*(partial(hire, task) for task in tasks))

    assert results.count(None) == RACERS - 1
    assert Execution.objects.filter(tribute=tribute).count() == 1


def test_the_last_execution_closes_its_tribute_whichever_that_is(database: Database) -> None:
    tribute = make_tribute(task_count=RACERS, status=TributeStatus.ACCEPTED)
    executions = [make_execution(tribute, f"{n}") for n in range(RACERS)]

    def accept(execution: Execution) -> None:
        with transaction.atomic():
            Execution.objects.filter(id=execution.id).update(status=ExecutionStatus.ACCEPTED)
            settlement.close_if_settled(tribute, now=NOW)

    results = database.race(*(partial(accept, each) for each in executions))

    assert results == [None] * RACERS
    assert Tribute.objects.get().status == TributeStatus.COMPLETED


def test_rows_that_are_wanted_crosswise_are_no_deadlock(database: Database) -> None:
    task = make_task("contested", TaskStatus.PENDING)
    clock_first, task_first = threading.Event(), threading.Event()

    def tick() -> None:
        clock.tick(NOW)
        clock_first.set()

    def touch() -> None:
        Task.objects.filter(id=task.id).update(progress="touched")
        task_first.set()

    def both(first: Callable[[], None], other: threading.Event, second: Callable[[], None]) -> None:
        with transaction.atomic():
            first()
            other.wait(0.3)  # only so that the two would meet, did they overlap
            second()

    results = database.race(
        partial(both, tick, task_first, touch), partial(both, touch, clock_first, tick)
    )

    assert results == [None, None]


def test_a_request_that_is_sent_twice_is_done_once(database: Database) -> None:
    from voidlux_site.access import api_token

    def register() -> tuple[int, Any]:
        answer = Client(headers={"authorization": f"Bearer {api_token()}"}).post(
            "/api/swarm/agents",
            {"name": "only-one"},
            content_type="application/json",
            headers={"Idempotency-Key": "once"},
        )
        return answer.status_code, answer.json()

    results = database.race(*[register] * RACERS)

    assert results == [results[0]] * RACERS
    assert results[0][0] == 201
    assert Agent.objects.count() == 1


def _in_transaction(call: Callable[[], Any]) -> Any:
    with transaction.atomic():
        return call()
