"""Starts `manage.py` as a process that ends with the demo, however the demo ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[2]
BOUND_EXEC = PROJECT_DIR / "voidlux_site" / "node" / "bound_exec.py"
LOG_LINES_SHOWN = 15


def manage_command(*arguments: str) -> list[str]:
    """Return the command line of `manage.py` with arguments."""
    return [sys.executable, str(PROJECT_DIR / "manage.py"), *arguments]


def start_bound(
    *arguments: str, environment: Mapping[str, str], log_path: Path
) -> subprocess.Popen[bytes]:
    """Start `manage.py` in a session of its own; a demo that is killed leaves nothing behind."""
    bound = [sys.executable, "-I", "-S", str(BOUND_EXEC), str(os.getpid())]
    with log_path.open("ab") as log:
        return subprocess.Popen(
            [*bound, *manage_command(*arguments)],
            cwd=PROJECT_DIR,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def tail_of(log_path: Path) -> str:
    """Return the last lines of a log."""
    return "\n".join(log_path.read_text("utf-8", "replace").splitlines()[-LOG_LINES_SHOWN:])
