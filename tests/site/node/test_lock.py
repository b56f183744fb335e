"""The lock of a home: one holder at a time, the refusal names it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from p2p.protocol.errors import DomainError
from voidlux_site.node.lock import HomeLock

ROOT = Path(__file__).resolve().parents[3]
HOLDER = (
    "import sys; from pathlib import Path; from voidlux_site.node.lock import HomeLock;"
    "HomeLock(Path(sys.argv[1])).acquire(); print('held', flush=True); sys.stdin.read()"
)


def test_second_holder_is_refused_until_the_first_lets_go(tmp_path: Path) -> None:
    first, second = HomeLock(tmp_path), HomeLock(tmp_path)
    first.acquire()

    with pytest.raises(DomainError) as refusal:
        second.acquire()

    expected = f"VOIDLUX_HOME {tmp_path} is used by the node with pid {os.getpid()}"
    assert (refusal.value.code, refusal.value.message) == ("home_in_use", expected)
    first.release()
    with second:
        assert (tmp_path / "node.lock").read_text() == f"{os.getpid()}\n"


def test_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(DomainError, match=f"with pid {holder.pid}$"):
        HomeLock(tmp_path).acquire()

    holder.kill()
    holder.communicate()

    with HomeLock(tmp_path):
        assert (tmp_path / "node.lock").read_text() == f"{os.getpid()}\n"
