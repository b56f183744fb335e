"""Rows of agents in all states, of what waits for a person, and of what another member tells."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

import msgspec

from p2p.local import local_node
from swarm.models import (
    Agent,
    ElectionState,
    KnownTerm,
    MemberPulse,
    RemoteAgent,
    SeenDispatch,
    Task,
    TaskCopy,
    TaskEvent,
)
from swarm.replication.bodies import agent_body, task_body
from swarm.states import Actor, TaskStatus
from tests.support.factories import make_agent, make_attempt, make_subtask, make_task

MEMBER = "c1c1c1" + "9" * 26


def seed_waiting(now: datetime) -> None:
    """Create what waits for a person, and agents in the states that `seed_goals` leaves out."""
    ago = lambda minutes: now - timedelta(minutes=minutes)  # noqa: E731
    goal = make_task("Send greetings by radio", TaskStatus.IN_PROGRESS, now=ago(22))
    choosing = make_subtask(
        *(goal, 1, "Choose the carrier frequency", TaskStatus.WAITING_INPUT, ago(21)),
        attempt=1,
        assigned_agent="home-5",
        question="The antenna resonates at 1420 and at 1665 MHz. Which one do the greetings use?",
        choices=["1420 MHz, the hydrogen line", "1665 MHz"],
        question_number=1,
        question_generation=1,
        asked_at=ago(4),
    )
    _history(choosing, ago(21))
    budget = make_subtask(
        *(goal, 2, "Listen for an echo", TaskStatus.WAITING_INPUT, ago(20)),
        attempt=2,
        tokens_used=204_000,
        token_limit=200_000,
        cost_used_micros=1_930_000,
        question="204,000 tokens of 200,000 are used. Go on?",
        choices=["continue", "stop"],
        over_budget="204,000 tokens of 200,000 are used",
        asked_at=ago(2),
    )
    held = make_subtask(
        *(goal, 3, "Write the transmitter", TaskStatus.IN_PROGRESS, ago(15)), attempt=1
    )
    budget.depends_on.set([choosing])
    make_attempt(
        choosing,
        make_agent("home-5", now=ago(4), tool="claude", capabilities=["python"]),
        now=ago(21),
        question=choosing.question,
        choices=choosing.choices,
        asked_at=ago(4),
        tokens_used=48_200,
        cost_used_micros=410_000,
        progress="reading the antenna's data sheet",
    )
    _judge("home-5", "waiting_input", "mcp", "task_needs_input", choosing.question, ago(4))
    make_attempt(held, make_agent("home-6", now=ago(1), tool="codex"), now=ago(15))
    _judge("home-6", "blocked", "screen", "permission", "Would you like to run pip?", ago(1))
    Agent.objects.filter(name="home-6").update(
        dialog={
            "name": "permission",
            "asks": "May the tool do this?",
            "choices": [
                {"name": "yes", "label": "Allow it once"},
                {"name": "always", "label": "Allow it from now on"},
                {"name": "no", "label": "Refuse"},
            ],
        }
    )
    make_agent("home-7", now=ago(3), tool="opencode", crashes=5, registered_at=ago(60))
    text = "ended 5 times in a row: exit 127: opencode: not found; an operator can restart it"
    _judge("home-7", "exited", "process", "crash_loop", text, ago(3))
    make_agent(
        "home-8",
        now=ago(30),
        tool="claude",
        paused_until=now + timedelta(minutes=47),
        paused_reason="the usage limit of the account is reached",
        tokens_today=1_204_000,
        cost_today_micros=8_410_000,
        usage_day=now.date(),
    )


def _history(task: Task, at: datetime) -> None:
    for source, target, by, reason, evidence in (
        ("", "blocked", Actor.PLANNER, "planned", {}),
        ("blocked", "pending", Actor.DEPENDENCY, "every prerequisite is merged", {}),
        ("pending", "claimed", Actor.DISPATCHER, "assigned to home-5", {"agent": "home-5"}),
        ("claimed", "in_progress", Actor.REPORT, "the agent works", {"branch": task.git_branch}),
        (
            *("in_progress", "waiting_input", Actor.REPORT, f"home-5 asks: {task.question}"),
            {"number": 1, "choices": task.choices},
        ),
    ):
        TaskEvent.objects.create(
            task=task, source=source, target=target, by=by, reason=reason, evidence=evidence, at=at
        )


def _judge(name: str, status: str, source: str, rule: str, text: str, at: datetime) -> None:
    evidence = {"source": source, "state": status, "rule": rule, "text": text}
    silence = {"source": "silence", "state": "unknown", "rule": "nothing_read", "text": "no change"}
    Agent.objects.filter(name=name).update(
        status=status,
        source=source,
        rule=rule,
        evidence=text,
        status_since=at,
        considered=[{**each, "at": at.isoformat()} for each in (evidence, silence)],
    )


def seed_members(now: datetime) -> None:
    """Create what another member tells: its agent, its goal, its pulse, term and dispatch."""
    since = now - timedelta(minutes=6)
    agent = make_agent("cygnus-1", now=since, tool="claude", capabilities=["rust"])
    body = {**msgspec.to_builtins(agent_body(agent, now)), "node_id": MEMBER}
    agent.delete()
    RemoteAgent.objects.create(
        id=uuid.UUID(body["id"]),
        node_id=MEMBER,
        name=agent.name,
        tool=agent.tool,
        capabilities=agent.capabilities,
        status="working",
        available=False,
        body=body | {"status": "working", "task_title": "Tune the receiver"},
        status_since=since,
    )
    MemberPulse.objects.create(node_id=MEMBER, lamport_ts=1, seen_at=now - timedelta(seconds=4))
    KnownTerm.objects.create(node_id=MEMBER, counter=2, known_at=now)
    own_id = local_node().node_id
    KnownTerm.objects.create(node_id=own_id, counter=3, in_office=True, known_at=now)
    ElectionState.objects.create(
        standing="emperor", emperor_node_id=own_id, counter=3, since=now, redirected_to=own_id
    )
    goal = make_task("Keep the log of all greetings", TaskStatus.IN_PROGRESS, now=since)
    make_subtask(goal, 1, "Open the log", TaskStatus.COMPLETED, since, attempt=1, commit="ab" * 20)
    make_subtask(goal, 2, "Write each greeting down", TaskStatus.IN_PROGRESS, since, attempt=1)
    for task in (*goal.subtasks.all(), goal):
        TaskCopy.objects.create(
            id=task.id,
            parent_id=task.parent_id,
            emperor_node_id=MEMBER,
            term=2,
            number=task.number,
            status=task.status,
            progress="line 3 of 9" if task.status == "in_progress" and task.number else "",
            body=msgspec.to_builtins(task_body(task)),
            created_at=since,
            updated_at=since,
        )
    SeenDispatch.objects.create(scope="swarm", task_id=goal.id, generation=1, seen_at=now)
    goal.delete()
