"""Starts `tests/site/node/guest_process.py` and ends it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "tests" / "site" / "node" / "guest_process.py"


def spawn_guest(port: int = 0, *arguments: str) -> subprocess.Popen[str]:
    """Start a guest process; the arguments are those of the program."""
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(port), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@contextmanager
def running_guest(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run a guest process for the block; gives the process and its port."""
    process = spawn_guest(0, *arguments)
    assert process.stdout is not None
    try:
        yield process, json.loads(process.stdout.readline())["port"]
    finally:
        process.kill()
        process.communicate()
