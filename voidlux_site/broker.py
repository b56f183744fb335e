"""Celery's broker without a server: kombu's filesystem transport with whole messages only.

kombu writes a message into its final name and takes it away through the temporary folder, so a
reader that looks in between gets half a message and the worker dies of it. Here a message is
renamed into place when it is complete, and whoever unlinks it owns it.
"""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.transport import filesystem
from kombu.utils.json import dumps, loads


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
