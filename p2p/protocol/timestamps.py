"""Datetimes on the wire: RFC 3339, always UTC, always with Z."""

from __future__ import annotations

from datetime import UTC, datetime

from p2p.protocol.errors import ProtocolError


def to_timestamp(moment: datetime) -> str:
    """Return an aware datetime as `2026-02-18T12:00:00Z`; raises ValueError when it is naive."""
    if moment.tzinfo is None:
        raise ValueError(f"datetime {moment.isoformat()} has no time zone")
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def from_timestamp(text: str) -> datetime:
    """Return the aware UTC datetime of a Timestamp; an impossible date is a ProtocolError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ProtocolError("malformed", f"timestamp {text[:40]!r}: {error}") from error
    if moment.tzinfo is None:
        raise ProtocolError("malformed", f"timestamp {text[:40]!r} has no time zone")
    return moment.astimezone(UTC)
