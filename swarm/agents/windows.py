"""When an exhausted usage window ends, from the words of a tool: pure, (words, now) -> time."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

AHEAD_MAX = timedelta(days=8)  # the longest windows are weeks; a later time is misread
JUST_OVER = timedelta(minutes=15)  # a clock time so little ago is not tomorrow's
MINUTE = timedelta(minutes=1)  # times are said without their seconds: until that minute is over
TIMES = frozenset({"clock", "date", "duration", "epoch"})
GROUPS = TIMES | {"zone"}

_CLOCK = re.compile(r"(\d{1,2})(?::(\d{2}))?\s*([ap]\.?m\.?)?", re.IGNORECASE)
_OFFSET = re.compile(r"(?:GMT|UTC)([+-])(\d{1,2})(?::?(\d{2}))?")
_PART = re.compile(r"(\d+)\s*(d|h|m|s)[a-z]*", re.IGNORECASE)
_NAMED_DAY = re.compile(r"([A-Za-z]{3})[a-z]*\.? (\d{1,2})(?:st|nd|rd|th)?(?:,? (\d{4}))?")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_LOCALTIME = Path("/etc/localtime")


def window_end(said: Mapping[str, str | None], now: datetime, local: tzinfo) -> datetime | None:
    """Return when a window ends by the named groups of its rule, in UTC; None for no usable time.

    Groups: `epoch` (seconds), `duration` ("2 hours 13 minutes"), `date` (with a time of day),
    `clock` ("3pm", "14:30": its next occurrence), and `zone`, without which `local` counts.
    A time that is over, or more than 8 days ahead, is none.
    """
    zone = _zone(said.get("zone"), local)
    for group, read in _READERS.items():
        words = " ".join((said.get(group) or "").split())
        if not words:
            continue
        try:
            end = read(words, now, zone)
        except (ValueError, OverflowError):
            end = None
        if end is None or not now < end <= now + AHEAD_MAX:
            return None
        return end.astimezone(UTC)
    return None


def local_zone() -> tzinfo:
    """Return the zone of this machine, in which tools say their times; UTC where none is set."""
    try:
        with _LOCALTIME.open("rb") as file:
            return ZoneInfo.from_file(file)
    except (OSError, ValueError):
        return UTC


def _of_epoch(words: str, now: datetime, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(int(words), UTC)


def _of_duration(words: str, now: datetime, zone: tzinfo) -> datetime | None:
    parts = {unit.lower(): int(number) for number, unit in _PART.findall(words)}
    if not parts:
        return None
    wait = timedelta(**{_UNITS[unit]: number for unit, number in parts.items()})
    return now + wait + (timedelta() if "s" in parts else MINUTE)


def _of_date(words: str, now: datetime, zone: tzinfo) -> datetime | None:
    try:
        exact = datetime.fromisoformat(words)
    except ValueError:
        return _of_named_day(words, now, zone)
    return exact if exact.tzinfo is not None else exact.replace(tzinfo=zone)


def _of_named_day(words: str, now: datetime, zone: tzinfo) -> datetime | None:
    found = _NAMED_DAY.search(words)
    if found is None or found[1].lower() not in _MONTHS:
        return None
    month, day = _MONTHS.index(found[1].lower()) + 1, int(found[2])
    at = _time_of_day(words[found.end() :]) or time()
    today = now.astimezone(zone).date()
    year = int(found[3]) if found[3] else today.year
    if not found[3] and month < today.month:
        year += 1
    return datetime.combine(date(year, month, day), at, tzinfo=zone) + MINUTE


def _of_clock(words: str, now: datetime, zone: tzinfo) -> datetime | None:
    at = _time_of_day(words)
    if at is None:
        return None
    today = now.astimezone(zone).date()
    end = datetime.combine(today, at, tzinfo=zone)
    if now - JUST_OVER < end <= now:
        return None
    if end <= now:
        end = datetime.combine(today + timedelta(days=1), at, tzinfo=zone)
    return end + MINUTE


def _time_of_day(words: str) -> time | None:
    found = _CLOCK.search(words)
    if found is None:
        return None
    hour, minute, half = int(found[1]), int(found[2] or 0), (found[3] or "").lower()
    if not half:
        return time(hour, minute)
    if not 1 <= hour <= 12:
        raise ValueError(f"{words!r} is no time of day")
    return time(hour % 12 + (12 if half.startswith("p") else 0), minute)


def _zone(name: str | None, local: tzinfo) -> tzinfo:
    if not name:
        return local
    if offset := _OFFSET.fullmatch(name):
        ahead = timedelta(hours=int(offset[2]), minutes=int(offset[3] or 0))
        if ahead < timedelta(days=1):
            return timezone(-ahead if offset[1] == "-" else ahead)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return local


_READERS: dict[str, Callable[[str, datetime, tzinfo], datetime | None]] = {
    "epoch": _of_epoch,
    "duration": _of_duration,
    "date": _of_date,
    "clock": _of_clock,
}
