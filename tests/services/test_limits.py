"""Whatever may arrive can be stored: PostgreSQL refuses what SQLite would have taken."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from msgspec.structs import replace

from marketplace.messages import (
    OfferingAnnounce,
    OfferingBody,
    TributeBody,
    TributeRequest,
)
from marketplace.models import Offering, Tribute
from marketplace.services.tributes import TASK_COUNT_MAX
from p2p import inbox
from p2p.local import local_node
from p2p.models import InboxMessage
from p2p.protocol.errors import DomainError
from p2p.protocol.fields import Address
from p2p.protocol.identity import Identity
from p2p.protocol.limits import AMOUNT_MAX, CLOCK_AHEAD_MAX_MS, INTEGER_MAX
from p2p.protocol.signing import open_sealed, seal
from p2p.protocol.timestamps import to_timestamp
from p2p.registration import registry
from swarm.messages import TaskAssign, TaskSpec
from swarm.models import Attempt, Task
from swarm.services.attempts import Assignment, start_attempt
from swarm.states import TaskStatus
from tests.services.conftest import NETWORK
from tests.support.factories import make_agent, make_task
from tests.support.racing import Database
from tests.support.web_clients import bearer_client, post_json

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
SMALL_MAX = 32_767
LATEST = int(NOW.timestamp() * 1000) + CLOCK_AHEAD_MAX_MS  # gossip lets nothing later pass
URL = "https://forge.example/" + "r" * 490
LONG = "ü" * 65_536


@pytest.fixture
def sender() -> Identity:
    return Identity.generate()


def signed(sender: Identity, message_class: type[Any], **fields: Any) -> Any:
    message = message_class(
        origin=sender.node_id,
        public_key=sender.public_key_text,
        lamport_ts=LATEST,
        **fields,
    )
    return open_sealed(seal(message, sender, NETWORK), NETWORK, registry)


def the_largest_request(sender: Identity, **changes: Any) -> Any:
    body = TributeBody(
        id=uuid.uuid4().hex,
        offering_id=uuid.uuid4().hex,
        from_node_id=sender.node_id,
        to_node_id=local_node().node_id,
        task_count=SMALL_MAX,
        total_cost=AMOUNT_MAX // SMALL_MAX * SMALL_MAX,
        currency="VOID",
        policy="accepted_result",
        repository=URL,
        ref="b" * 200,
        deadline_at=to_timestamp(NOW + timedelta(days=1)),
        work_deadline_at=to_timestamp(NOW + timedelta(days=1)),
    )
    return signed(
        sender,
        TributeRequest,
        to=local_node().node_id,
        msg_id=uuid.uuid4().hex,
        tribute=replace(body, **changes),
    )


def test_the_largest_request_is_stored_and_answered(database: Database, sender: Identity) -> None:
    largest = {"task_count": TASK_COUNT_MAX, "total_cost": AMOUNT_MAX}
    inbox.apply_batch([the_largest_request(sender, **largest)], NOW)

    assert InboxMessage.objects.get().detail == ""
    assert Tribute.objects.get().total_cost == AMOUNT_MAX


@pytest.mark.parametrize("changes", [{"task_count": SMALL_MAX + 1}, {"ref": "b" * 201}])
def test_what_could_not_be_stored_is_no_message(
    changes: dict[str, Any], database: Database, sender: Identity
) -> None:
    with pytest.raises(DomainError, match="TributeRequest"):
        the_largest_request(sender, **changes)


def test_the_largest_offering_is_stored(database: Database, sender: Identity) -> None:
    body = OfferingBody(
        id=uuid.uuid4().hex,
        node_id=sender.node_id,
        swarm="s" * 64,
        addresses=[Address(host="h" * 253, port=65_535)] * 16,
        idle_agents=SMALL_MAX,
        capabilities=["c" * 64] * 32,
        price_per_task=AMOUNT_MAX,
        currency="VOID",
        policy="accepted_result",
        isolation="worktree",
        api_keys=False,
        expires_at="9999-12-31T23:59:59Z",
        created_at="0001-01-01T00:00:00Z",
    )
    announced = signed(
        sender, OfferingAnnounce, incarnation=INTEGER_MAX, seq=INTEGER_MAX, offering=body
    )

    inbox.apply_batch([announced], NOW)

    assert Offering.objects.get().idle_agents == SMALL_MAX


def test_the_largest_assignment_is_stored(database: Database, sender: Identity) -> None:
    spec = TaskSpec(
        id=uuid.uuid4().hex,
        title="ü" * 200,
        instructions=LONG,
        shell=LONG,
        feedback=LONG[:4000],
        repository=URL,
        attempt=SMALL_MAX,
        previous_branch="b" * 200,
    )
    command = signed(
        sender,
        TaskAssign,
        to=local_node().node_id,
        msg_id=uuid.uuid4().hex,
        task=spec,
        base_commit="a" * 64,
        generation=1_000_000,
        tribute_id=uuid.uuid4().hex,
    ).message
    assignment = Assignment(
        task_id=uuid.UUID(spec.id),
        assigner_node_id=sender.node_id,
        title=command.task.title,
        instructions=spec.instructions,
        shell=spec.shell,
        feedback=spec.feedback,
        repository=spec.repository,
        number=spec.attempt,
        generation=command.generation,
        base_commit=command.base_commit,
        previous_branch=spec.previous_branch or "",
    )

    assert start_attempt(assignment, [make_agent("one")], now=NOW) is not None
    assert Attempt.objects.get().number == SMALL_MAX


def cursor_with_a_zero_byte() -> str:
    return base64.urlsafe_b64encode(json.dumps(["a\0b", "a\0b"]).encode()).decode()


REQUESTS: dict[str, Callable[[Client], Any]] = {
    "title": lambda client: post_json(client, "/api/swarm/tasks", _goal(title="a\0b")),
    "branch": lambda client: post_json(client, "/api/swarm/tasks", _goal(base_branch="a\0b")),
    "test command": lambda client: post_json(
        client, "/api/swarm/tasks", _goal(test_command="true\0")
    ),
    "agent": lambda client: post_json(client, "/api/swarm/agents", {"name": "a\0b"}),
    "reason": lambda client: post_json(
        client, f"/api/swarm/tasks/{_open_task()}/cancel", {"reason": "a\0b"}
    ),
    "key": lambda client: post_json(
        client, "/api/swarm/agents", {"name": "good"}, **{"Idempotency-Key": "a\0b"}
    ),
    "query": lambda client: client.get("/api/swarm/offerings?capability=a%00b"),
    "cursor": lambda client: client.get(f"/api/swarm/nodes?cursor={cursor_with_a_zero_byte()}"),
    "path": lambda client: client.get("/api/swarm/tasks/a%00b"),
}


def _open_task() -> str:
    return make_task("open", TaskStatus.PENDING).id.hex


def _goal(**fields: str) -> dict[str, str]:
    return {
        "description": "- [ ] Do it\n  ```sh\n  true\n  ```\n",
        "repository": "/srv/remote.git",
        **fields,
    }


@pytest.mark.parametrize("where", REQUESTS)
def test_a_zero_byte_is_refused_and_no_bug(where: str, database: Database) -> None:
    answer = REQUESTS[where](bearer_client())

    assert answer.status_code in (200, 404, 422), answer.content
    assert not Task.objects.exclude(title="open").exists()
    assert not Task.objects.filter(status=TaskStatus.CANCELLED).exists()


def test_half_a_character_is_refused(database: Database) -> None:
    body = json.dumps(_goal(title="a\ud800b"))

    answer = bearer_client().generic(
        "POST", "/api/swarm/tasks", body, content_type="application/json"
    )

    assert answer.status_code == 422, answer.content
    assert not Task.objects.exclude(title="open").exists()
    assert not Task.objects.filter(status=TaskStatus.CANCELLED).exists()


def test_half_a_character_written_with_a_backslash_is_text(database: Database) -> None:
    answer = post_json(bearer_client(), "/api/swarm/tasks", _goal(title="a\\u0000\\ud800"))

    assert answer.status_code == 201, answer.content
    assert Task.objects.get().title == "a\\u0000\\ud800"
