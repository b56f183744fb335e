"""Hours of the day in which an owner sells, as `22:00-06:00` in the node's time zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, tzinfo
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from django.conf import settings

from p2p.protocol.errors import DomainError

_TIME = r"([01][0-9]|2[0-3]):([0-5][0-9])"
_HOURS = re.compile(f"{_TIME}-{_TIME}")
_MACHINE_ZONE = Path("/etc/localtime")


def check_hours(text: str) -> None:
    """Refuse what names no hours; DomainError `bad_hours`. Empty is always."""
    if text:
        _parse(text)


def is_within(text: str, now: datetime) -> bool:
    """Tell whether `now` is in the hours, which may go over midnight; always in none.

    The first minute is within, the last is not. They are those of the clock on the wall, so
    that a night with a change to summer time is an hour shorter.
    """
    if not text:
        return True
    begin, end = _parse(text)
    here = now.astimezone(node_zone()).time()
    if begin < end:
        return begin <= here < end
    return here >= begin or here < end


def node_zone() -> tzinfo:
    """Return the time zone of VOIDLUX_TIME_ZONE, else that of the machine, else UTC."""
    return _zone(settings.ENVIRONMENT.time_zone)


def zone_name() -> str:
    """Return the name of the node's time zone, or words where it is the machine's own."""
    return settings.ENVIRONMENT.time_zone or "this machine’s clock"


@cache
def _zone(name: str) -> tzinfo:
    if name:
        return ZoneInfo(name)
    # Not by the C library: Django sets TZ to UTC for this process and all that it starts.
    try:
        with _MACHINE_ZONE.open("rb") as file:
            return ZoneInfo.from_file(file, key="local")
    except (OSError, ValueError):
        return UTC


def _parse(text: str) -> tuple[time, time]:
    match = _HOURS.fullmatch(text)
    if match is None:
        raise DomainError(
            "bad_hours",
            f"hours {text[:40]!r}: HH:MM-HH:MM from 00:00 to 23:59 is allowed, as 22:00-06:00",
            422,
        )
    hour, minute, end_hour, end_minute = (int(each) for each in match.groups())
    begin, end = time(hour, minute), time(end_hour, end_minute)
    if begin == end:
        raise DomainError(
            "bad_hours", f"hours {text!r} begin when they end; leave them empty for always", 422
        )
    return begin, end
