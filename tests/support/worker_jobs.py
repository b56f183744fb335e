"""Jobs for tests of the worker; they speak to the test through files."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from celery import shared_task


@shared_task
def write_pid(path: str) -> None:
    """Write the pid of the worker."""
    _write(path, os.getpid())


@shared_task
def start_sleeper(path: str) -> None:
    """Run a program in a session of its own for 300 s, having written its pid."""
    with subprocess.Popen(["sleep", "300"], start_new_session=True) as sleeper:
        _write(path, sleeper.pid)
        sleeper.wait()


def _write(path: str, pid: int) -> None:
    draft = Path(f"{path}.draft")
    draft.write_text(str(pid), "ascii")
    draft.rename(path)
