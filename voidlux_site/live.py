"""Live events for browsers and tools: one JSON message per transition, resumable by `seq`.

A `seq` counts within one node. Whoever may come to another member of the swarm names the node
too, as every event does, and is told to look at everything anew where it is not this one.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.layers import get_channel_layer

from p2p.clock import now_utc
from p2p.local import local_node
from p2p.models import OutboxKind, OutboxMessage
from swarm.services.agents import watch_agent
from voidlux_site.access import bearer_of, is_api_token
from voidlux_site.status import describe_status, last_event_seq

GROUP = "live"
CLOSE_UNAUTHENTICATED = 4401
REPLAY_MAX = 500
SEQ_DIGITS_MAX = 18
WATCHED_MAX = 50


async def publish_live(event: dict[str, Any]) -> None:
    """Send one event (with its `seq`) to every browser that is connected to this process."""
    await get_channel_layer().group_send(GROUP, {"type": "live.event", "event": event})


async def publish_screen(agent_id: UUID, event: dict[str, Any]) -> None:
    """Send an agent's screen (without a `seq`, as it is not kept) to who watches that agent."""
    await get_channel_layer().group_send(
        _group_of(agent_id), {"type": "live.event", "event": event}
    )


class LiveConsumer(AsyncJsonWebsocketConsumer):
    """One browser or tool that follows the node's events."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Watch no agent at first."""
        super().__init__(*args, **kwargs)
        self._watched: set[UUID] = set()

    async def connect(self) -> None:
        """Say hello with the node's status, then replay what came after `?since=&node=`."""
        await self.accept()
        if not await _may_follow(self.scope):
            # Accepted first: a browser does not see the code of a refused handshake.
            await self.close(code=CLOSE_UNAUTHENTICATED)
            return
        await self.channel_layer.group_add(GROUP, self.channel_name)
        status = await database_sync_to_async(describe_status)(now_utc())
        seq = status.pop("event_seq")
        await self.send_json({"type": "status", "event": "hello", **status, "seq": seq})
        query = parse_qs(self.scope["query_string"].decode("latin-1"))
        since = _seq_of(query.get("since", [""])[0])
        if since is not None:
            await self._replay(since, query.get("node", [""])[0])

    async def disconnect(self, code: int) -> None:
        """Leave the group of followers."""
        await self.channel_layer.group_discard(GROUP, self.channel_name)
        for agent_id in self._watched:
            await self.channel_layer.group_discard(_group_of(agent_id), self.channel_name)

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        """Do what a message asks: `{"resume": seq}`, `{"watch": agent}` or `{"unwatch": agent}`.

        `{"resume": seq, "node": id}` names the node whose `seq` it is.
        Whoever watches an agent gets its screen for 30 s, and says it again to go on.
        """
        asked = content if isinstance(content, dict) else {}
        since = _seq_of(asked.get("resume"))
        if since is not None:
            await self._replay(since, asked.get("node") or "")
        watched, left = _uuid_of(asked.get("watch")), _uuid_of(asked.get("unwatch"))
        if watched is not None and len(self._watched | {watched}) <= WATCHED_MAX:
            self._watched.add(watched)
            await self.channel_layer.group_add(_group_of(watched), self.channel_name)
            await database_sync_to_async(watch_agent)(watched, now=now_utc())
        if left is not None:
            self._watched.discard(left)
            await self.channel_layer.group_discard(_group_of(left), self.channel_name)

    async def live_event(self, message: dict[str, Any]) -> None:
        """Pass one event of the channel layer on, with the node that counted it."""
        event = message["event"]
        await self.send_json(_with_node(event) if "seq" in event else event)

    @classmethod
    async def decode_json(cls, text_data: str) -> Any:
        """Decode a message; one that is not JSON counts as one that says nothing."""
        try:
            return await super().decode_json(text_data)
        except ValueError:
            return None

    async def _replay(self, since: int, node_id: object) -> None:
        of_this_node = node_id in ("", local_node().node_id)
        events, complete = (
            await database_sync_to_async(events_after)(since) if of_this_node else ([], False)
        )
        for event in events:
            await self.send_json(_with_node(event))
        if not complete:
            seq = await database_sync_to_async(last_event_seq)()
            await self.send_json(_with_node({"type": "status", "event": "resync", "seq": seq}))


def events_after(since: int) -> tuple[list[dict[str, Any]], bool]:
    """Return the oldest REPLAY_MAX events above `since`, and whether these are all of them.

    A `since` that this database has not reached came from another one: nothing fits then.
    """
    rows = OutboxMessage.objects.filter(kind=OutboxKind.EVENT)
    if since > last_event_seq():
        return [], since == 0
    newer = list(rows.filter(id__gt=since).order_by("id")[: REPLAY_MAX + 1])
    events = [{**(row.event or {}), "seq": row.id} for row in newer[:REPLAY_MAX]]
    return events, len(newer) <= REPLAY_MAX


def _with_node(event: dict[str, Any]) -> dict[str, Any]:
    return {**event, "node": local_node().node_id}


async def _may_follow(scope: dict[str, Any]) -> bool:
    user = scope.get("user")
    if user is not None and user.is_active and user.is_staff:
        return True
    header = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
    token = bearer_of(header)
    return bool(token) and is_api_token(token)


def _group_of(agent_id: UUID) -> str:
    return f"agent.{agent_id.hex}"


def _uuid_of(value: Any) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _seq_of(value: Any) -> int | None:
    """Return a `seq` given as number or digits; None for anything else."""
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= SEQ_DIGITS_MAX else None
