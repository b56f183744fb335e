"""What the node does while PostgreSQL or Redis is away, and once it is back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, connections

from p2p import outbox
from p2p.clock import now_utc
from p2p.database_thread import DatabaseThread
from p2p.models import OutboxMessage
from p2p.relay import Relay, take_due
from tests.support.factories import SELLER
from tests.support.racing import Database


@pytest.fixture
async def thread(database: Database) -> AsyncIterator[DatabaseThread]:
    """The node's database thread, on PostgreSQL."""
    made = DatabaseThread()
    await made.run(_use, database)
    yield made
    made.stop()


def _use(database: Database) -> None:
    connections["default"] = database.connect()


class Channel:
    """Browsers and peers as the relay sees them: what was said to them, and whether they listen."""

    def __init__(self) -> None:
        self.works = True
        self.told: list[str] = []
        self.tried = 0
        self.answered: list[str] = []

    async def publish(self, event: dict[str, Any]) -> None:
        self.tried += 1
        if not self.works:
            raise ConnectionRefusedError("the server is away")
        self.told.append(event["event"])

    def send(self, node_id: str, payload: bytes) -> bool:
        self.answered.append(node_id)
        return True

    def broadcast(self, payload: bytes) -> int:
        return 0

    def dial_node(self, node_id: str, addresses: list[Any]) -> None:
        raise AssertionError("nobody has to be dialled")


def backend_pid() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid: int = cursor.fetchone()[0]
        return pid


def end_backend(pid: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


async def test_the_database_thread_keeps_its_connection_until_it_breaks(
    database: Database, thread: DatabaseThread
) -> None:
    first = await thread.run(backend_pid)
    assert await thread.run(backend_pid) == first

    await asyncio.get_running_loop().run_in_executor(None, _used, database, end_backend, first)
    with pytest.raises(OperationalError):
        await thread.run(backend_pid)

    assert await thread.run(backend_pid) != first


def _used(database: Database, call: Any, *arguments: Any) -> None:
    with database.used():
        call(*arguments)


async def test_peers_get_theirs_while_events_wait_for_redis(
    database: Database, thread: DatabaseThread
) -> None:
    channel = Channel()
    channel.works = False
    relay = Relay(sender=channel, database=thread, publish=channel.publish, rung=asyncio.Event())
    await thread.run(_say_something)

    await relay.flush()
    assert (channel.answered, channel.told, channel.tried) == ([SELLER], [], 1)

    channel.works = True
    await thread.run(_pass_a_second)
    await relay.flush()
    assert channel.told == ["first", "second"]
    assert await thread.run(take_due, now_utc() + timedelta(minutes=1)) == []


def _say_something() -> None:
    now = now_utc()
    outbox.publish_event("task_update", "first", {}, now=now)
    outbox.send_answer(to_node_id=SELLER, re="1" * 32, accepted=True, code="", detail="", now=now)
    outbox.publish_event("task_update", "second", {}, now=now)


def _pass_a_second() -> None:
    OutboxMessage.objects.filter(due_at__isnull=False).update(due_at=now_utc())
