"""Tasks prefer agents with the model that is named for their complexity, and wait for none."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings

from p2p.local import local_node
from swarm.models import Agent, Attempt, MemberPulse, RemoteAgent, Task
from swarm.replication import terms
from swarm.replication.agents import describe_remote
from swarm.services.dispatch import dispatch_ready
from tests.swarm.planned_goals import NOW, a_goal, an_agent

pytestmark = pytest.mark.django_db

MEMBER = "4e4be4" + "0" * 26


@pytest.fixture(autouse=True)
def models_by_complexity(monkeypatch: pytest.MonkeyPatch) -> None:
    update = {"model_small": "haiku", "model_large": "opus"}
    monkeypatch.setattr(settings, "ENVIRONMENT", settings.ENVIRONMENT.model_copy(update=update))


def agents_with(*models: str) -> list[Agent]:
    made = [an_agent(f"agent-{number}") for number, _ in enumerate(models)]
    for agent, model in zip(made, models, strict=True):
        Agent.objects.filter(id=agent.id).update(model=model)
    return made


def a_task(complexity: str) -> Task:
    goal = a_goal("- [ ] Alone\n\n  ```sh\n  true\n  ```\n")
    goal.subtasks.update(complexity=complexity)
    return goal.subtasks.get()


def an_agent_of_a_member(model: str, monkeypatch: pytest.MonkeyPatch, **body: Any) -> RemoteAgent:
    monkeypatch.setattr(terms, "has_members", lambda: True)
    MemberPulse.objects.create(node_id=MEMBER, lamport_ts=1, seen_at=NOW)
    return RemoteAgent.objects.create(
        id=uuid4(),
        node_id=MEMBER,
        name="far",
        tool="shell",
        status="ready",
        available=True,
        body={"model": model, **body},
        status_since=NOW,
    )


@pytest.mark.parametrize(
    ("complexity", "models", "chosen"),
    [
        ("large", ["", "haiku", "opus"], "opus"),
        ("small", ["", "opus", "haiku"], "haiku"),
        ("medium", ["opus", "haiku", "sonnet"], "sonnet"),
        ("medium", ["opus", ""], ""),
        ("small", ["opus", "sonnet"], "sonnet"),
        ("xl", ["haiku"], "haiku"),
        ("large", ["haiku"], "haiku"),
    ],
)
def test_the_named_model_is_preferred_and_never_waited_for(
    complexity: str, models: list[str], chosen: str
) -> None:
    agents_with(*models)
    a_task(complexity)

    assert dispatch_ready(NOW) == 1

    agent = Attempt.objects.get().agent
    assert agent is not None
    assert agent.model == chosen


def test_capabilities_come_before_the_model() -> None:
    plain, able = an_agent("plain"), an_agent("able", "rust")
    Agent.objects.filter(id=plain.id).update(model="opus")
    Agent.objects.filter(id=able.id).update(model="haiku")
    task = a_task("large")
    Task.objects.filter(id=task.id).update(required_capabilities=["rust"])

    dispatch_ready(NOW)

    assert Attempt.objects.get().agent == able


@pytest.mark.parametrize(
    ("own", "far", "goes_to"),
    [("haiku", "opus", MEMBER), ("opus", "opus", ""), ("haiku", "sonnet", ""), ("", "", "")],
)
def test_a_member_with_the_model_comes_before_own_agents_without_it(
    own: str, far: str, goes_to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    agents_with(own)
    task = a_task("large")
    an_agent_of_a_member(far, monkeypatch)

    assert dispatch_ready(NOW) == 1

    task.refresh_from_db()
    assert task.assigned_node == (goes_to or local_node().node_id)


def test_the_model_of_a_members_agent_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    since = {"status_since": "2026-05-04T12:00:00Z", "task_id": None, "task_title": ""}
    agent = an_agent_of_a_member("opus", monkeypatch, **since)
    assert describe_remote(agent, silent_s=None)["model"] == "opus"

    del agent.body["model"]
    assert describe_remote(agent, silent_s=None)["model"] == ""
