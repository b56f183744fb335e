"""Celery's broker without a server: kombu's filesystem transport with whole messages only.

kombu writes a message into its final name and takes it away through the temporary folder, so a
reader that looks in between gets half a message and the worker dies of it. Here a message is
renamed into place when it is complete, and whoever unlinks it owns it.

kombu also sleeps between two looks. Here a writer wakes the reader through a FIFO beside the
messages, so that a job begins at once; a wake that is lost costs one interval of looking.
"""

from __future__ import annotations

import os
import select
import time
import uuid
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.transport import filesystem
from kombu.utils.json import dumps, loads

WAKE = "wake"
WAKES_READ_AT_ONCE = 4096


class Channel(filesystem.Channel):
    """A channel whose messages are files that appear and vanish atomically."""

    def _put(  # type: ignore[override] # kombu names the payload differently in each class
        self, queue: str, payload: dict[str, Any], **_: Any
    ) -> None:
        """Store one message; raises OSError when the folder cannot be written."""
        folder = Path(self.data_folder_out)
        # Wall clock, not kombu's monotonic one: the order has to survive a reboot.
        name = f"{time.time_ns()}_{uuid.uuid4()}.{queue}.msg"
        draft = folder / f".draft.{name}"
        draft.write_text(dumps(payload), "utf-8")
        draft.rename(folder / name)
        _wake(folder / WAKE)

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        """Take the oldest message of the queue; raises Empty when there is none."""
        folder = Path(self.data_folder_in)
        wanted = f"{queue}.msg"
        waiting = [path for path in folder.iterdir() if path.name.partition(".")[2] == wanted]
        for path in sorted(waiting):
            if (text := _take(path)) is not None:
                message: dict[str, Any] = loads(text)
                return message
        raise Empty


def _take(path: Path) -> str | None:
    """Return the text of a message, or None when another worker was faster."""
    try:
        text = path.read_text("utf-8")
        path.unlink()
    except FileNotFoundError:
        return None
    return text


class Transport(filesystem.Transport):
    """The transport that `broker_transport` names."""

    Channel = Channel
    client: Any
    cycle: Any

    def drain_events(self, connection: Any, timeout: float | None = None, **_: Any) -> None:
        """Deliver the next message as soon as there is one; TimeoutError after `timeout` s."""
        ends_at = float("inf") if timeout is None else time.monotonic() + timeout
        while True:
            try:
                self.cycle.get(self._deliver, timeout=timeout)
                return
            except Empty:
                left_s = ends_at - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            self._wait(min(left_s, self.polling_interval))

    def close_connection(self, connection: Any) -> None:
        """Close the FIFO with all else."""
        super().close_connection(connection)
        if "_bell" in self.__dict__:
            os.close(self.__dict__.pop("_bell"))

    def _wait(self, longest_s: float) -> None:
        """Return at the next wake, which may have come already, or after `longest_s`."""
        if select.select([self._bell], [], [], longest_s)[0]:
            with suppress(BlockingIOError):  # another reader was faster
                os.read(self._bell, WAKES_READ_AT_ONCE)

    @cached_property
    def _bell(self) -> int:
        path = Path(self.client.transport_options["data_folder_in"]) / WAKE
        with suppress(FileExistsError):
            os.mkfifo(path, 0o600)
        # For writing too: without a writer it would be at its end, and always readable.
        return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


def _wake(path: Path) -> None:
    """Wake the reader; never fails: nobody may read, or be awake enough already."""
    with suppress(OSError):
        bell = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(bell, b".")
        finally:
            os.close(bell)
