"""Names of time zones in the environment."""

from __future__ import annotations

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


def check_zone(value: str) -> str:
    """Return the name of a time zone that this machine knows, or raise ValueError; empty is one."""
    if value:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, OSError) as error:
            raise ValueError("not known") from error
    return value
