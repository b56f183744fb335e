"""Room for worktrees: what they take, and what a node does without any."""

from __future__ import annotations

import errno
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.conf import settings

from p2p.protocol.errors import DomainError, ExternalError
from swarm.agents import steps
from swarm.queries import idle_agents
from swarm.services.reports import NOT_BEGUN
from swarm.worktrees import room
from tests.support.factories import make_agent

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def allow(monkeypatch: pytest.MonkeyPatch, mb: int) -> None:
    ours = settings.ENVIRONMENT.model_copy(update={"worktrees_mb_max": mb})
    monkeypatch.setattr(settings, "ENVIRONMENT", ours)


def fill(home: Path, mb: int) -> Path:
    path = home / "worktrees" / "one" / "big"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * mb * room.MB)
    return path


def test_the_room_that_files_take_is_counted(home: Path) -> None:
    assert room.used_mb(home / "worktrees") == 0
    fill(home, 3)
    assert 3 <= room.used_mb(home / "worktrees") < 3.1


@pytest.mark.django_db
def test_without_room_no_agent_is_idle_until_there_is_some(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_agent("one")
    allow(monkeypatch, 2)
    big = fill(home, 3)

    with pytest.raises(DomainError, match="take 3 MB, VOIDLUX_WORKTREES_MB_MAX is 2") as refused:
        room.require_room()
    assert (refused.value.code, idle_agents(NOW).count()) == ("no_room", 0)
    assert "no_room" in NOT_BEGUN
    big.unlink()
    room.look_again()

    assert (room.full_reason(), idle_agents(NOW).count()) == ("", 1)


def test_without_a_limit_nothing_is_refused(home: Path) -> None:
    fill(home, 3)
    room.require_room()


def test_a_full_disk_is_tried_again_only_later(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room.note_full_disk("the disk is full")
    room.look_again()
    assert room.full_reason() == "the disk is full"

    monkeypatch.setattr(room, "FULL_DISK_PAUSE_S", -1.0)
    room.note_full_disk("the disk is full")
    room.look_again()

    assert room.full_reason() == ""


@pytest.mark.parametrize(
    "failure",
    [
        ExternalError("git worktree failed: No space left on device", retryable=False),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
)
def test_a_full_disk_is_recognised_in_what_fails(home: Path, failure: Exception) -> None:
    with pytest.raises(DomainError) as refused, steps._naming_a_full_disk():
        raise failure

    assert refused.value.code == "no_room"
    assert room.full_reason().startswith("the disk is full: ")


def test_other_failures_stay_what_they_are(home: Path) -> None:
    failure = ExternalError("the remote is away", retryable=True)

    with pytest.raises(ExternalError) as kept, steps._naming_a_full_disk():
        raise failure
    assert kept.value is failure
    assert steps.named_cause("external", "away") == ("external", "away")
    assert steps.named_cause("exit_code", "x: No space left on device") == (
        "disk_full",
        "the disk is full: x: No space left on device",
    )
    assert room.full_reason() == "the disk is full: x: No space left on device"
