"""The five phases of a goal as the page shows them, and the tone of every status."""

from __future__ import annotations

from dataclasses import dataclass

from swarm.models import Task
from swarm.queries import PHASES, phase_of
from swarm.states import TaskStatus

# Where a goal was when it failed or was cancelled, by the status that it was moved from.
_PHASE_BEFORE = {
    TaskStatus.PLANNING: "planning",
    TaskStatus.PENDING_REVIEW: "reviewing",
    TaskStatus.MERGING: "merging",
}

_TONES = {
    "good": (
        "completed",
        "ready",
        "succeeded",
        "acknowledged",
        "accepted-execution",
        "committed",
        "merged",
        "green",
        "passed",
        "live",
        "adopted",
    ),
    "active": (
        *("planning", "claimed", "in_progress", "pending_review", "merging", "working"),
        *("accepted", "open", "running", "preparing", "pushing", "proposed", "voted"),
    ),
    "wait": (
        *("pending", "waiting_input", "unknown", "queued", "starting", "typed"),
        *("split", "suspect", "flaky", "base_red", "unpushed", "waiting"),
    ),
    "bad": (
        *("failed", "rejected", "exited", "refused", "aborted"),
        *("conflict", "unusable", "red", "own_red", "timed_out"),
    ),
}
_TONE_OF = {status: tone for tone, statuses in _TONES.items() for status in statuses}


@dataclass(frozen=True)
class PhaseStep:
    """One phase of the pipeline: `state` is past, active, ended (badly) or future."""

    name: str
    number: int
    state: str


def tone_of(status: str) -> str:
    """Return good, active, wait, bad or mute for any status of the project."""
    return _TONE_OF.get(status, "mute")


def pipeline(goal: Task) -> list[PhaseStep]:
    """Return the five steps of a goal; a goal that failed shows where it stopped."""
    if goal.status == TaskStatus.COMPLETED:
        return [PhaseStep(name, number, "past") for number, name in enumerate(PHASES)]
    ended = goal.status in (TaskStatus.FAILED, TaskStatus.CANCELLED)
    here = PHASES.index(_last_phase(goal) if ended else phase_of(goal))
    return [
        PhaseStep(name, number, _state(number, here, ended)) for number, name in enumerate(PHASES)
    ]


def _state(number: int, here: int, ended: bool) -> str:
    if number == here:
        return "ended" if ended else "active"
    return "past" if number < here else "future"


def _last_phase(goal: Task) -> str:
    ends = goal.events.filter(target=goal.status).exclude(source=goal.status)
    end = ends.order_by("-id").first()
    if end is None or not end.source:
        return "working"
    return _PHASE_BEFORE.get(TaskStatus(end.source), "working")
