from __future__ import annotations

from typing import Any

import pytest
from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser, User

from p2p.local import local_node
from p2p.models import OutboxMessage
from swarm.models import Agent
from tests.support.factories import make_agent, make_event
from tests.support.web_clients import operator_client
from voidlux_site.access import api_token
from voidlux_site.asgi import application
from voidlux_site.live import (
    REPLAY_MAX,
    LiveConsumer,
    events_after,
    publish_live,
    publish_screen,
)

STAFF = User(username="staff", is_staff=True)


def _follow(
    query: str = "", *, user: Any = STAFF, headers: list[tuple[bytes, bytes]] | None = None
) -> WebsocketCommunicator:
    follower = WebsocketCommunicator(LiveConsumer.as_asgi(), f"/ws{query}", headers=headers or [])
    follower.scope["user"] = user
    return follower


async def _make_events(count: int) -> list[int]:
    def make() -> list[int]:
        return [make_event(f"goal {number}").id for number in range(count)]

    return await database_sync_to_async(make)()


@pytest.mark.django_db(transaction=True)
async def test_a_stranger_is_closed_with_4401() -> None:
    follower = _follow(user=AnonymousUser(), headers=[(b"authorization", b"Bearer wrong")])

    connected, _ = await follower.connect()
    closing = await follower.receive_output()

    assert connected
    assert (closing["type"], closing["code"]) == ("websocket.close", 4401)


@pytest.mark.django_db(transaction=True)
async def test_a_user_who_is_not_staff_is_closed() -> None:
    follower = _follow(user=User(username="visitor"))

    await follower.connect()

    assert (await follower.receive_output())["code"] == 4401


@pytest.mark.django_db(transaction=True)
async def test_hello_comes_first_with_status_and_seq() -> None:
    newest = (await _make_events(2))[-1]
    token = f"Bearer {api_token()}".encode()
    follower = _follow(user=AnonymousUser(), headers=[(b"authorization", token)])

    await follower.connect()
    hello = await follower.receive_json_from()
    await follower.disconnect()

    assert (hello["type"], hello["event"], hello["seq"]) == ("status", "hello", newest)
    assert hello["node_id"] == local_node().node_id
    assert "event_seq" not in hello


@pytest.mark.django_db(transaction=True)
async def test_a_published_event_reaches_every_follower() -> None:
    followers = [_follow(), _follow()]
    for follower in followers:
        await follower.connect()
        await follower.receive_json_from()

    event = {"type": "task_update", "event": "completed", "seq": 9}
    await publish_live(event)

    told = {**event, "node": local_node().node_id}
    assert [await follower.receive_json_from() for follower in followers] == [told, told]
    for follower in followers:
        await follower.disconnect()


@pytest.mark.django_db(transaction=True)
async def test_resume_replays_what_came_after() -> None:
    ids = await _make_events(3)
    follower = _follow(f"?since={ids[0]}")

    await follower.connect()
    await follower.receive_json_from()
    replayed = [await follower.receive_json_from() for _ in range(2)]
    await follower.send_json_to({"resume": ids[1]})
    again = await follower.receive_json_from()
    await follower.disconnect()

    assert [event["seq"] for event in replayed] == ids[1:]
    assert replayed[0]["task"] == {"title": "goal 1"}
    assert again["seq"] == ids[2]


@pytest.mark.django_db(transaction=True)
async def test_a_follower_that_missed_too_much_is_told_to_resync() -> None:
    ids = await _make_events(REPLAY_MAX + 2)
    follower = _follow(f"?since={ids[0]}")

    await follower.connect()
    await follower.receive_json_from()
    replayed = [await follower.receive_json_from() for _ in range(REPLAY_MAX)]
    resync = await follower.receive_json_from()
    await follower.disconnect()

    assert [event["seq"] for event in replayed] == ids[1:-1]
    own_id = local_node().node_id
    assert resync == {"type": "status", "event": "resync", "seq": ids[-1], "node": own_id}


@pytest.mark.django_db(transaction=True)
async def test_a_seq_of_another_database_means_resync() -> None:
    (newest,) = await _make_events(1)
    follower = _follow(f"?since={newest + 1000}")

    await follower.connect()
    await follower.receive_json_from()
    resync = await follower.receive_json_from()
    await follower.disconnect()

    assert (resync["event"], resync["seq"]) == ("resync", newest)


@pytest.mark.parametrize("node", ["f" * 32, "nonsense"])
@pytest.mark.django_db(transaction=True)
async def test_a_seq_of_another_node_means_resync_and_never_a_replay(node: str) -> None:
    ids = await _make_events(3)
    follower = _follow(f"?since={ids[0]}&node={node}")

    await follower.connect()
    await follower.receive_json_from()
    resync = await follower.receive_json_from()
    for of in (node, 7, ["a"]):
        await follower.send_json_to({"resume": ids[0], "node": of})
    again = [await follower.receive_json_from() for _ in range(3)]
    await follower.disconnect()

    assert (resync["event"], resync["seq"]) == ("resync", ids[-1])
    assert [(each["event"], each["seq"]) for each in again] == [("resync", ids[-1])] * 3


@pytest.mark.django_db(transaction=True)
async def test_a_seq_of_this_node_is_resumed_and_every_event_names_the_node() -> None:
    ids = await _make_events(3)
    own_id = local_node().node_id
    follower = _follow(f"?since={ids[0]}&node={own_id}")

    await follower.connect()
    await follower.receive_json_from()
    replayed = [await follower.receive_json_from() for _ in range(2)]
    await follower.send_json_to({"resume": ids[1], "node": own_id})
    replayed.append(await follower.receive_json_from())
    await follower.disconnect()

    assert [(each["seq"], each["node"]) for each in replayed] == [
        (ids[1], own_id),
        (ids[2], own_id),
        (ids[2], own_id),
    ]


@pytest.mark.parametrize("text", ["{", "[]", '{"resume": "x"}', '{"resume": -1}', '"hello"', "7"])
@pytest.mark.django_db(transaction=True)
async def test_nonsense_changes_nothing(text: str) -> None:
    follower = _follow()
    await follower.connect()
    await follower.receive_json_from()

    await follower.send_to(text_data=text)
    await publish_live({"type": "status", "event": "still_here", "seq": 1})

    assert (await follower.receive_json_from())["event"] == "still_here"
    await follower.disconnect()


@pytest.mark.django_db(transaction=True)
async def test_the_dashboards_session_is_enough_through_the_whole_application() -> None:
    client = await database_sync_to_async(operator_client)()
    cookies = "; ".join(f"{name}={each.value}" for name, each in client.cookies.items())
    headers = [(b"cookie", cookies.encode()), (b"origin", b"http://localhost")]
    follower = WebsocketCommunicator(application, "/ws", headers=headers)

    connected, _ = await follower.connect()
    hello = await follower.receive_json_from()
    await follower.disconnect()

    assert connected
    assert hello["event"] == "hello"


def test_events_after_gives_events_only(db: None) -> None:
    first = make_event("one")
    OutboxMessage.objects.create(kind="record", created_at=first.created_at)
    second = make_event("two")

    events, complete = events_after(0)

    assert [event["seq"] for event in events] == [first.id, second.id]
    assert complete
    assert events_after(second.id) == ([], True)


def test_a_new_node_has_nothing_to_replay(db: None) -> None:
    assert events_after(0) == ([], True)


@pytest.mark.django_db(transaction=True)
async def test_a_screen_reaches_only_who_watches_that_agent() -> None:
    watched, other = [await database_sync_to_async(make_agent)(name) for name in ("a", "b")]
    follower = _follow()
    await follower.connect()
    await follower.receive_json_from()
    screen = {"type": "agent_output", "event": "screen", "screen": "> "}

    await publish_screen(watched.id, screen)
    assert await follower.receive_nothing()
    await follower.send_json_to({"watch": watched.id.hex})
    looked = Agent.objects.filter(id=watched.id, watched_until__isnull=False)
    while not await database_sync_to_async(looked.exists)():
        await follower.receive_nothing(timeout=0.02)
    await publish_screen(other.id, {**screen, "screen": "other"})
    await publish_screen(watched.id, screen)

    assert await follower.receive_json_from() == screen
    await follower.disconnect()
