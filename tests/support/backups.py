"""A simulated node's database as it was: a backup, and a restart from it."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from tests.support.cluster import SimNode


def back_up(node: SimNode) -> Path:
    """Copy the node's database as it is now and return the copy."""
    node.connection.ensure_connection()
    path = Path(node.connection.settings_dict["NAME"]).with_suffix(".backup")
    with sqlite3.connect(path) as copy:
        node.connection.connection.backup(copy)
    copy.close()
    return path


def restore(node: SimNode, backup: Path) -> None:
    """Put a backup in the place of the node's database."""
    node.connection.close()
    path = Path(node.connection.settings_dict["NAME"])
    for leftover in (f"{path}-wal", f"{path}-shm"):
        Path(leftover).unlink(missing_ok=True)
    shutil.copy(backup, path)
