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
from kombu import Connection

from voidlux_site.broker import Transport

QUEUE = "node-test"


def open_channel(folder: Path) -> Any:
    options = {
        "data_folder_in": str(folder),
        "data_folder_out": str(folder),
        "control_folder": str(folder / "control"),
    }
    url = "filesystem://localhost//"
    return Connection(url, transport=Transport, transport_options=options).channel()


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
