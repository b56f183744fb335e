"""Rows for tests of what people see: one function per table, and a whole seeded node."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from marketplace.models import (
    Execution,
    LedgerEntry,
    Offering,
    Payment,
    Tribute,
)
from marketplace.services.offering_rows import index_anew
from p2p.local import local_node
from p2p.models import (
    KnownNode,
    OutboxKind,
    OutboxMessage,
)
from p2p.posts.models import WallPost
from swarm.models import Agent, Attempt, Review, Task, TaskEvent
from swarm.states import Actor, TaskStatus

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
SELLER = "5e11e4" + "0" * 26
BUYER = "b0b0b0" + "1" * 26
REPOSITORY = "ssh://git@forge/team/greetings.git"


def make_task(title: str, status: TaskStatus, *, now: datetime = NOW, **columns: Any) -> Task:
    """Create a goal, or with `parent` a subtask."""
    defaults: dict[str, Any] = {
        "repository": REPOSITORY,
        "base_branch": "main",
        "base_commit": "ba5e" * 10,
        "created_by": local_node().node_id,
        "created_at": now,
        "updated_at": now,
    }
    task = Task.objects.create(title=title, status=status, **{**defaults, **columns})
    TaskEvent.objects.create(
        task=task, source="", target=status, by=Actor.OPERATOR, reason="made for a test", at=now
    )
    return task


def make_subtask(
    goal: Task, number: int, title: str, status: TaskStatus, at: datetime, **columns: Any
) -> Task:
    """Create a subtask of a goal; with `attempt` it was dispatched to an agent of this node."""
    defaults: dict[str, Any] = {"parent": goal, "number": number}
    if columns.get("attempt"):
        defaults |= {
            "assigned_node": local_node().node_id,
            "assigned_agent": f"home-{number}",
            "git_branch": f"task/{uuid.uuid4().hex[:8]}",
            "generation": columns["attempt"],
        }
    return make_task(title, status, now=at, **{**defaults, **columns})


def make_post(content: str, author: str, node_id: str, *, now: datetime = NOW) -> WallPost:
    """Create a post that counts for 30 days from `now`."""
    post_id = uuid.uuid4()
    return WallPost.objects.create(
        key=f"{node_id}-{post_id.hex}",
        post_id=post_id,
        node_id=node_id,
        author=author,
        content=content,
        created_at=now,
        expires_at=now + timedelta(days=30),
        received_at=now,
    )


def make_agent(name: str, *, now: datetime = NOW, **columns: Any) -> Agent:
    """Create an agent, ready unless told otherwise."""
    defaults: dict[str, Any] = {
        "session": f"vl-{name}",
        "status": "ready",
        "source": "screen",
        "rule": "prompt_seen",
        "evidence": "the shell shows its prompt",
        "status_since": now,
        "registered_at": now,
    }
    return Agent.objects.create(name=name, **{**defaults, **columns})


def make_attempt(task: Task, agent: Agent, *, now: datetime = NOW, **columns: Any) -> Attempt:
    """Create a working run of a task and give it to the agent."""
    defaults: dict[str, Any] = {
        "assigner_node_id": local_node().node_id,
        "title": task.title,
        "number": max(1, task.attempt),
        "generation": task.generation,
        "repository": task.repository,
        "base_commit": task.base_commit,
        "branch": task.git_branch or f"task/{task.id8}",
        "status": "working",
        "created_at": now,
    }
    attempt = Attempt.objects.create(task_id=task.id, agent=agent, **{**defaults, **columns})
    Agent.objects.filter(id=agent.id).update(attempt=attempt, status="working")
    return attempt


def make_review(task: Task, *, now: datetime = NOW, **columns: Any) -> Review:
    """Create the review of a task's commit; it waits for a person unless told otherwise."""
    diff = "diff --git a/planets b/planets\n--- /dev/null\n+++ b/planets\n@@ -0,0 +1 @@\n+eight\n"
    defaults: dict[str, Any] = {
        "attempt": task.attempt,
        "generation": task.generation,
        "commit": task.commit,
        "why_human": "this node has a person review each commit",
        "merged_commit": "ce" * 20,
        "diff": diff,
        "diff_chars": len(diff),
        "changed_paths": ["planets"],
        "created_at": now,
    }
    return Review.objects.create(task=task, **{**defaults, **columns})


def make_node(node_id: str, *, now: datetime = NOW, **columns: Any) -> KnownNode:
    """Create a known node, connected unless told otherwise."""
    defaults: dict[str, Any] = {
        "swarm": "orion",
        "role": "emperor",
        "addresses": [{"host": "127.0.0.1", "port": 7102}],
        "connected": True,
        "latency_ms": 1.8,
        "first_seen_at": now,
        "last_seen_at": now,
    }
    return KnownNode.objects.create(node_id=node_id, **{**defaults, **columns})


def make_offering(*, now: datetime = NOW, **columns: Any) -> Offering:
    """Create a live offering of the node SELLER."""
    defaults: dict[str, Any] = {
        "node_id": SELLER,
        "swarm": "orion",
        "addresses": [{"host": "127.0.0.1", "port": 7102}],
        "idle_agents": 3,
        "capabilities": ["python", "testing"],
        "price_per_task": 2,
        "created_at": now,
        "expires_at": now + timedelta(seconds=300),
    }
    offering = Offering.objects.create(**{**defaults, **columns})
    index_anew([offering])
    return offering


def make_tribute(*, now: datetime = NOW, **columns: Any) -> Tribute:
    """Create a pending tribute of this node to SELLER for two tasks at 2 VOID."""
    defaults: dict[str, Any] = {
        "offering_id": uuid.uuid4(),
        "from_node_id": local_node().node_id,
        "to_node_id": SELLER,
        "repository": REPOSITORY,
        "task_count": 2,
        "price_per_task": 2,
        "request_frame": b'{"type":194,"note":"request"}',
        "deadline_at": now + timedelta(seconds=60),
        "work_deadline_at": now + timedelta(days=1),
        "created_at": now,
        "updated_at": now,
    }
    merged = {**defaults, **columns}
    merged.setdefault("total_cost", merged["task_count"] * merged["price_per_task"])
    return Tribute.objects.create(**merged)


def make_execution(
    tribute: Tribute, title: str, *, now: datetime = NOW, **columns: Any
) -> Execution:
    """Create an execution under a tribute."""
    defaults: dict[str, Any] = {"task_id": uuid.uuid4(), "opened_at": now}
    return Execution.objects.create(tribute=tribute, title=title, **{**defaults, **columns})


def make_payment(execution: Execution, amount: int, *, now: datetime = NOW) -> Payment:
    """Create a committed payment of this node to SELLER."""
    return Payment.objects.create(
        execution=execution,
        payer_node_id=local_node().node_id,
        payee_node_id=SELLER,
        amount=amount,
        status="committed",
        propose_frame=b'{"type":128}',
        vote_frame=b'{"type":129}',
        created_at=now,
        closed_at=now,
    )


def make_promise(
    *, payer: str, payee: str, amount: int, status: str, now: datetime = NOW
) -> Payment:
    """Create a payment without a deal behind it."""
    return Payment.objects.create(
        payer_node_id=payer, payee_node_id=payee, amount=amount, status=status, created_at=now
    )


def make_entry(
    kind: str, amount: int, balance: int, held: int, *, now: datetime = NOW, **columns: Any
) -> LedgerEntry:
    """Create a ledger entry with the balances after it."""
    return LedgerEntry.objects.create(
        kind=kind,
        reference=uuid.uuid4().hex,
        amount=amount,
        balance_after=balance,
        held_after=held,
        created_at=now,
        **columns,
    )


def make_event(title: str, *, now: datetime = NOW) -> OutboxMessage:
    """Create an event for browsers."""
    return OutboxMessage.objects.create(
        kind=OutboxKind.EVENT,
        event={"type": "task_update", "event": "completed", "task": {"title": title}},
        created_at=now,
    )
