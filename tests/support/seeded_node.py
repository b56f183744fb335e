"""A busy node: rows of every table, as the pages of a node in the middle of its work show them."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from marketplace.models import (
    BuyingPolicy,
    OfferingEvent,
    Partner,
    Refusal,
    SellingPolicy,
    Wallet,
)
from p2p.local import local_node
from p2p.models import (
    InboxMessage,
    NodeState,
    ParkedRecord,
    Record,
    TopicSequence,
    TopicSync,
    Watermark,
)
from swarm.agents.models import Delivery, DeliveryKind
from swarm.budgets.usage import record_usage
from swarm.llm.models import LlmOutcome, LlmPurpose
from swarm.mcp.tokens import issue_token
from swarm.models import (
    FlakyTest,
    Job,
    LlmCall,
    MergeRun,
    TaskEvent,
    TestRun,
)
from swarm.states import Actor, JobStatus, TaskStatus, TestRunState
from tests.support.factories import (
    BUYER,
    NOW,
    REPOSITORY,
    SELLER,
    make_agent,
    make_attempt,
    make_entry,
    make_event,
    make_execution,
    make_node,
    make_offering,
    make_payment,
    make_post,
    make_review,
    make_subtask,
    make_task,
    make_tribute,
)
from tests.support.seeded_agents import seed_members, seed_waiting
from tests.support.seeded_pulls import seed_pulls


def seed_node(now: datetime = NOW) -> None:
    """Create rows of every table, with goals in each phase, as a busy node would have them."""
    seed_goals(now)
    seed_waiting(now)
    seed_members(now)
    seed_market(now)
    seed_mesh(now)
    seed_wall(now)


def seed_goals(now: datetime) -> None:
    """Create goals in every phase, with agents, runs, evidence and a failing job."""
    ago = lambda minutes: now - timedelta(minutes=minutes)  # noqa: E731
    _finished_goal(ago(95))
    _failed_goal(ago(50))
    make_task("Drop support for the old dialect", TaskStatus.CANCELLED, now=ago(44))
    _merging_goal(ago(18))
    _working_goal(ago(9))
    make_task("Measure how long a greeting takes", TaskStatus.PLANNING, now=ago(0), base_commit="")
    home_3 = make_agent("home-3", now=ago(2), capabilities=["python", "testing"])
    make_agent(
        "home-4",
        now=ago(1),
        reserved_for="tribute:5e11",
        reserved_until=now + timedelta(seconds=48),
    )
    Delivery.objects.create(
        agent=home_3,
        kind=DeliveryKind.SEND,
        text="Take the smaller of the two interfaces.",
        reason="the agent is starting",
        queued_at=ago(1),
    )
    Job.objects.create(
        kind="gate",
        key=uuid.uuid4().hex,
        lane=f"repository:{REPOSITORY}",
        status=JobStatus.QUEUED,
        attempts=2,
        due_at=now + timedelta(seconds=8),
        error="git fetch ended with 128: ssh: connect to host forge port 22: Connection refused",
        created_at=ago(3),
    )


def _finished_goal(at: datetime) -> None:
    goal = make_task(
        "Greet in two languages",
        TaskStatus.COMPLETED,
        now=at,
        test_command="python -m pytest -q",
        integration_commit="c0ffee" * 6 + "abcd",
        result="integrate/c0ffee12",
        completed_at=at,
    )
    for number, title in enumerate(("Write the English greeting", "Write the Latin greeting"), 1):
        make_subtask(goal, number, title, TaskStatus.COMPLETED, at, attempt=1, commit="d0d0" * 10)
    run = TestRun.objects.create(
        goal=goal,
        commit="c0ffee" * 6 + "abcd",
        command="python -m pytest -q",
        state=TestRunState.PASSED,
        passed=True,
        exit_code=0,
        duration_ms=1840,
        output_tail="....................                      [100%]\n20 passed in 1.62s",
        at=at,
    )
    MergeRun.objects.create(
        goal=goal,
        tasks=[each.id.hex for each in goal.subtasks.all()],
        base_commit="ba5e" * 10,
        head_commit="c0ffee" * 6 + "abcd",
        outcome="merged",
        test_run=run,
        at=at,
    )
    FlakyTest.objects.create(
        repository=REPOSITORY,
        command=run.command,
        name="tests.test_greeting::test_latin",
        runs_seen=20,
        flaky_times=1,
        runs=[run.id],
        last_at=at,
    )
    LlmCall.objects.create(
        task=goal,
        purpose=LlmPurpose.PLAN,
        provider="ollama",
        model="qwen3:32b",
        outcome=LlmOutcome.ANSWERED,
        requests=2,
        tokens_in=5310,
        tokens_out=842,
        started_at=at,
        ended_at=at + timedelta(seconds=21),
    )
    seed_pulls(goal, at)


def _failed_goal(at: datetime) -> None:
    goal = make_task(
        "Translate the manual",
        TaskStatus.FAILED,
        now=at,
        error="1 subtasks did not complete",
        base_red=True,
    )
    TaskEvent.objects.create(
        task=goal,
        source=TaskStatus.IN_PROGRESS,
        target=TaskStatus.FAILED,
        by=Actor.DEPENDENCY,
        reason="1 subtasks did not complete",
        at=at,
    )
    make_subtask(
        *(goal, 1, "Translate chapter one", TaskStatus.FAILED, at),
        attempt=3,
        error="make manual ended with exit status 2; attempt 3 was the last",
    )
    make_subtask(goal, 2, "Translate chapter two", TaskStatus.CANCELLED, at)
    TestRun.objects.create(
        goal=goal,
        commit="dead" * 10,
        command="make manual",
        state=TestRunState.FAILED,
        exit_code=2,
        duration_ms=912,
        output_tail="make: *** [manual] Error 2",
        at=at,
    )


def _merging_goal(at: datetime) -> None:
    goal = make_task("Speak plural forms", TaskStatus.IN_PROGRESS, now=at)
    make_subtask(
        goal, 1, "Teach one and many", TaskStatus.COMPLETED, at, attempt=1, commit="ab12" * 10
    )
    make_subtask(goal, 2, "Teach few", TaskStatus.MERGING, at, attempt=2, commit="ab34" * 10)


def _working_goal(at: datetime) -> None:
    goal = make_task(
        "Answer greetings from other planets", TaskStatus.IN_PROGRESS, now=at, test_command="make"
    )
    first = make_subtask(
        *(goal, 1, "Read the greeting and find its language", TaskStatus.IN_PROGRESS, at),
        attempt=1,
        assigned_agent="home-1",
        progress="running step 2 of 3",
    )
    make_subtask(
        *(goal, 2, "Look the answer up in the phrase book", TaskStatus.IN_PROGRESS, at),
        attempt=2,
        assigned_node=SELLER,
        assigned_agent="orion-2",
        tribute_id=uuid.uuid4(),
        error="",
    )
    review = make_subtask(
        *(goal, 3, "Count the planets", TaskStatus.PENDING_REVIEW, at), attempt=1, commit="fe" * 20
    )
    make_review(review, now=at, test_run=TestRun.objects.order_by("id").first())
    make_subtask(
        *(goal, 4, "Write the tests", TaskStatus.PENDING, at),
        required_capabilities=["python", "testing"],
    )
    blocked = make_subtask(goal, 5, "Send the answer", TaskStatus.BLOCKED, at)
    blocked.depends_on.set([first, review])
    run = make_attempt(first, make_agent("home-1", now=at, capabilities=["python"]), now=at)
    issue_token(run, now=at)
    record_usage(run, tokens_in=1200, tokens_out=300, cost_usd=0.05, source="seed", now=at)
    sold = make_task("Polish the telescope", TaskStatus.IN_PROGRESS, now=at, parent=goal, number=6)
    make_attempt(sold, make_agent("home-2", now=at), now=at, assigner_node_id=BUYER)


def seed_market(now: datetime) -> None:
    """Create offerings, tributes in several states, payments, and the ledger behind them."""
    ago = lambda minutes: now - timedelta(minutes=minutes)  # noqa: E731
    make_offering(now=ago(1), expires_at=now + timedelta(seconds=212))
    offering = make_offering(
        now=ago(2),
        expires_at=now + timedelta(seconds=95),
        node_id="a17a" * 8,
        swarm="andromeda",
        idle_agents=1,
        price_per_task=5,
        capabilities=["rust"],
    )
    OfferingEvent.objects.create(
        offering=offering,
        change="announced",
        idle_agents=offering.idle_agents,
        price_per_task=offering.price_per_task,
        created_at=offering.created_at,
    )
    SellingPolicy.objects.create(id=1, selling=True, agents_max=2, price_per_task=1)
    BuyingPolicy.objects.create(id=1)
    Partner.objects.create(node_id=SELLER, standing="approved", decided_at=ago(30))
    Refusal.objects.create(
        node_id="a17a" * 8,
        subject="TRIBUTE_REQUEST",
        code="bad_count",
        reason="task_count is 0: 1 to 50 is allowed",
        at=ago(25),
    )
    bought = make_tribute(
        now=ago(12), status="accepted", tx_hash="0x" + "7e57" * 16, reserved_until=now
    )
    done = make_execution(
        bought, "Look the answer up", now=ago(10), status="accepted", commit="ab56" * 10
    )
    make_payment(done, 2, now=ago(8))
    make_execution(bought, "Count the moons", now=ago(9))
    make_tribute(
        now=ago(30),
        status="rejected",
        reason_code="no_idle_agents",
        reason="2 agents wanted, 0 are idle and not reserved",
    )
    make_tribute(now=ago(0), from_node_id=BUYER, to_node_id=local_node().node_id, task_count=1)
    Wallet.objects.create(id=1, balance=998, held=2)
    make_entry("grant", 1000, 1000, 0, now=ago(120), note="initial grant")
    make_entry("hold", 4, 1000, 4, now=ago(12), counterparty_node_id=SELLER)
    make_entry("capture", 2, 998, 2, now=ago(8), counterparty_node_id=SELLER)


def seed_wall(now: datetime) -> None:
    """Create posts of this node and of another."""
    ago = lambda minutes: now - timedelta(minutes=minutes)  # noqa: E731
    make_post("Anybody with a Rust agent to spare tonight?", "ada", SELLER, now=ago(41))
    make_post("perseus was here", "home", local_node().node_id, now=ago(3))


def seed_mesh(now: datetime) -> None:
    """Create peers, an event, a record, and a received command."""
    make_node(SELLER, now=now)
    make_node(BUYER, now=now, swarm="lyra", role="worker", latency_ms=24.31)
    make_node("0ff1" * 8, now=now - timedelta(hours=5), connected=False, latency_ms=None)
    make_event("Greet in two languages", now=now)
    Record.objects.create(
        topic="offerings",
        key="a-key",
        origin=SELLER,
        incarnation=1,
        seq=4,
        lamport_ts=7,
        frame=b'{"type":192}',
        received_at=now,
        position=1,
    )
    InboxMessage.objects.create(
        origin=SELLER,
        msg_id=uuid.uuid4().hex,
        number=195,
        frame=b'{"type":195}',
        accepted=True,
        received_at=now,
    )
    Watermark.objects.create(
        topic="offerings", origin=SELLER, incarnation=1, seq=4, above=[[1, 6, 1, 8]]
    )
    ParkedRecord.objects.create(
        topic="offerings", origin=BUYER, incarnation=1, seq=2, frame=b'{"type":192}', parked_at=now
    )
    TopicSync.objects.create(topic="offerings", synced_at=now)
    TopicSequence.objects.create(topic="seeded", incarnation=1, seq=3)
    NodeState.objects.create(key="seeded", value="yes")
