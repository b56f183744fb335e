"""The broker without a server: whole messages, in order, each to one taker."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from kombu import Connection, Queue

from voidlux_site.broker import Transport

QUEUE = "node-test"


def open_channel(folder: Path) -> Any:
    return open_connection(folder).channel()


def open_connection(folder: Path) -> Connection:
    options = {
        "data_folder_in": str(folder),
        "data_folder_out": str(folder),
        "control_folder": str(folder / "control"),
    }
    url = "filesystem://localhost//"
    return Connection(url, transport=Transport, transport_options=options)


def test_messages_come_in_order_and_leave_no_file(tmp_path: Path) -> None:
    channel = open_channel(tmp_path)

    for number in range(3):
        channel._put(QUEUE, {"number": number})

    assert [channel._get(QUEUE)["number"] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(Empty):
        channel._get(QUEUE)
    assert list(tmp_path.iterdir()) == []


def test_other_queues_and_drafts_are_left_alone(tmp_path: Path) -> None:
    channel = open_channel(tmp_path)
    channel._put("node-other", {})
    draft = tmp_path / f".draft.1_{uuid.uuid4()}.{QUEUE}.msg"
    draft.write_text('{"half":')

    with pytest.raises(Empty):
        channel._get(QUEUE)

    assert len(list(tmp_path.iterdir())) == 2


def test_racing_writers_and_takers_lose_and_double_nothing(tmp_path: Path) -> None:
    writer, takers = open_channel(tmp_path), [open_channel(tmp_path) for _ in range(4)]
    ends_at = time.monotonic() + 30
    taken: list[int] = []

    def take(channel: Any) -> None:
        while len(taken) < 200 and time.monotonic() < ends_at:
            with suppress(Empty):
                taken.append(channel._get(QUEUE)["number"])

    with ThreadPoolExecutor(8) as threads:
        ends = [threads.submit(take, channel) for channel in takers]
        ends += [threads.submit(writer._put, QUEUE, {"number": n}) for n in range(200)]
        for end in ends:
            end.result()

    assert sorted(taken) == list(range(200))


def a_reader(folder: Path, queue: str, taken: list[Any]) -> Connection:
    """Return a connection that looks once in ten minutes by itself, with one consumer.

    Each test names a queue of its own: kombu remembers in the process which ones were declared.
    """
    options = {
        "data_folder_in": str(folder),
        "data_folder_out": str(folder),
        "control_folder": str(folder / "control"),
        "polling_interval": 600.0,
    }
    url = "filesystem://localhost//"
    connection = Connection(url, transport=Transport, transport_options=options)
    consumer = connection.Consumer(Queue(queue), no_ack=True)
    consumer.register_callback(lambda body, _: taken.append(body))
    consumer.consume()
    return connection


def test_a_reader_is_woken_by_each_message(tmp_path: Path) -> None:
    taken: list[Any] = []
    with a_reader(tmp_path, "node-woken", taken) as reader, ThreadPoolExecutor(1) as writer:
        with pytest.raises(TimeoutError):
            reader.drain_events(timeout=0.01)
        for number in range(3):
            waiting = writer.submit(reader.drain_events, timeout=60)
            with open_connection(tmp_path) as connection:
                connection.SimpleQueue("node-woken").put({"number": number})
            waiting.result(30)

    assert taken == [{"number": 0}, {"number": 1}, {"number": 2}]


def test_a_message_needs_no_reader_and_waits_for_one(tmp_path: Path) -> None:
    taken: list[Any] = []
    channel = open_channel(tmp_path)
    with a_reader(tmp_path, "node-late", taken) as reader, pytest.raises(TimeoutError):
        reader.drain_events(timeout=0.01)
    with open_connection(tmp_path) as connection:
        for number in range(2):
            connection.SimpleQueue("node-late").put({"number": number})

    with a_reader(tmp_path, "node-late", taken) as reader:
        reader.drain_events(timeout=30)
        reader.drain_events(timeout=30)

    assert taken == [{"number": 0}, {"number": 1}]
    with pytest.raises(Empty):
        channel._get("node-late")
