"""Test runs over REST: what they found, and their output while it comes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Field, Query, Router, Schema

from swarm.descriptions import describe_test_run
from swarm.errors import NotFound
from swarm.gate.run_rows import log_file
from swarm.models import TestRun

router = Router(tags=["tests"])

NUMBER_MAX = 2**63 - 1
PAGE_BYTES_MAX = 262_144  # of an answer to somebody who follows a log


class LogQuery(Schema):
    """Which part of a log is wanted: what follows an offset, or the last bytes; else all of it."""

    offset: Annotated[int, Field(ge=0, le=NUMBER_MAX, description="Of the first byte.")] | None = (
        None
    )
    tail: Annotated[int, Field(ge=1, le=NUMBER_MAX, description="Bytes at the end.")] | None = None


@router.get("/test-runs/{run_id}", summary="Show a test run")
def show_test_run(request: HttpRequest, run_id: int) -> dict[str, Any]:
    """One run of a test command: its state, verdict, duration and failing tests."""
    return describe_test_run(_run(run_id))


@router.get("/test-runs/{run_id}/log", summary="Read the output of a test run")
def read_log(request: HttpRequest, run_id: int, query: Query[LogQuery]) -> HttpResponse:
    """The output as text, also while the run is at work; only its end once the log is deleted.

    `X-Log-Next` is the offset to go on from, `X-Test-State` the state of the run before the log
    was read: when it is not `running` and nothing more comes, that was all. From an `offset` at
    most 256 KiB come at once.
    """
    run = _run(run_id)  # before the log, so that an ended run shows a whole one
    data, following = _part(log_file(run), query) or (run.output_tail.encode(), 0)
    answer = HttpResponse(data, content_type="text/plain; charset=utf-8")
    answer["X-Log-Next"] = str(following)
    answer["X-Test-State"] = run.state
    answer["Cache-Control"] = "no-store"
    return answer


def _part(path: Path | None, query: LogQuery) -> tuple[bytes, int] | None:
    """Return the wanted bytes and the offset behind them; None where there is no log here."""
    if path is None:
        return None
    try:
        with path.open("rb") as log:
            size = log.seek(0, 2)
            start = query.offset or 0
            if query.offset is None and query.tail is not None:
                start = max(0, size - query.tail)
            log.seek(min(start, size))
            data = log.read(PAGE_BYTES_MAX if query.offset is not None else -1)
            return data, log.tell()
    except FileNotFoundError:
        return None


def _run(run_id: int) -> TestRun:
    run = TestRun.objects.filter(id=run_id).first() if 0 < run_id <= NUMBER_MAX else None
    if run is None:
        raise NotFound("test run", run_id)
    return run
