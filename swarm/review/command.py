"""The review command: asked with one JSON object, believed only where it answers as agreed."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from p2p.protocol.limits import REVIEW_ANSWER_BYTES_MAX, REVIEW_REASONS_CHARS_MAX
from swarm.clean_env import clean_environment
from swarm.gate.testrun import read_tail, supervise

ERRORS_SHOWN_CHARS = 300
_VERDICTS = frozenset({"accept", "reject"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a review command decided, and why."""

    accepted: bool
    reasons: str


class NoVerdict(Exception):
    """A review command gave no verdict that can be believed; the message says how it failed."""


def ask_command(
    command: str, question: dict[str, Any], *, folder: Path, time_limit_s: float
) -> Verdict:
    """Run `command` in an empty folder with `question` on its standard input.

    `folder` is made afresh and removed.  NoVerdict for anything but a verdict in time and in form;
    ExternalError where it cannot be started.  All that it started has ended on return.
    """
    shutil.rmtree(folder, ignore_errors=True)  # a worker that was killed may have left it
    empty = folder / "work"
    empty.mkdir(parents=True, mode=0o700)
    try:
        return _ask(command, question, folder, empty, time_limit_s)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def parse_verdict(printed: bytes) -> Verdict:
    """Return the verdict in what a command printed; NoVerdict where it is none."""
    if len(printed) > REVIEW_ANSWER_BYTES_MAX:
        raise NoVerdict(f"it printed more than {REVIEW_ANSWER_BYTES_MAX} bytes")
    try:
        answer = json.loads(printed.decode(), object_pairs_hook=_each_name_once)
    except (ValueError, RecursionError) as error:
        raise NoVerdict(f"it printed no JSON object: {error}") from None
    if not isinstance(answer, dict) or not {"verdict"} <= set(answer) <= {"verdict", "reasons"}:
        raise NoVerdict("it printed something else than an object with `verdict` and `reasons`")
    verdict, reasons = answer["verdict"], answer.get("reasons", "")
    if not isinstance(verdict, str) or verdict not in _VERDICTS:
        raise NoVerdict(f"its verdict is {str(verdict)[:40]!r}, neither `accept` nor `reject`")
    if not isinstance(reasons, str) or len(reasons) > REVIEW_REASONS_CHARS_MAX:
        raise NoVerdict(f"its reasons are no text of up to {REVIEW_REASONS_CHARS_MAX} characters")
    if verdict == "reject" and not reasons.strip():
        raise NoVerdict("it rejects without reasons")
    return Verdict(verdict == "accept", reasons)


def _ask(
    command: str, question: dict[str, Any], folder: Path, empty: Path, time_limit_s: float
) -> Verdict:
    asked, printed, errors = folder / "question.json", folder / "printed", folder / "errors"
    asked.write_text(json.dumps(question), "utf-8")
    request = {
        "argv": ["/bin/sh", "-c", command],
        "input": str(asked),
        "log": str(printed),
        "errors": str(errors),
        "time_limit_s": time_limit_s,
        "head_bytes": REVIEW_ANSWER_BYTES_MAX,
        "tail_bytes": REVIEW_ANSWER_BYTES_MAX,
    }
    answer = supervise(request, empty, clean_environment(), what="review command")
    if answer["timed_out"]:
        raise NoVerdict(f"it ran longer than its limit of {time_limit_s:g} s")
    if answer["exit_code"] != 0:
        said = read_tail(errors, ERRORS_SHOWN_CHARS).strip()
        raise NoVerdict(f"it ended with {answer['exit_code']}" + (f": {said}" if said else ""))
    return parse_verdict(printed.read_bytes())


def _each_name_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found
