from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from p2p.protocol import fields
from p2p.protocol.errors import ProtocolError
from p2p.protocol.timestamps import from_timestamp, to_timestamp


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (fields.NodeId, ["0" * 32], ["0" * 31, "A" * 32, "0" * 32 + "\n", "0" * 31 + "\n"]),
        (fields.Sha, ["a" * 40, "a" * 64], ["a" * 41, "A" * 40, "a" * 40 + "\n"]),
        (fields.Name, ["home", "php-8.2", "c++"], ["", "Home", "-x", "a b", "a\n", "a" * 65]),
        (fields.Title, ["Fix it", "a" * 200], ["", "a" * 201, "two\nlines", "nul\0"]),
        (fields.Body, ["", "a\nb\n", "\u00e9" * 65_536], ["a" * 65_537, "nul\0"]),
        (fields.Url, ["https://git.example/x.git", "/srv/x.git"], ["", "-u", "a b", "x" * 513]),
        (fields.GitRef, ["task/1a2b", "main"], ["", "-x", "a b", "/x"]),
        (fields.Host, ["localhost", "::1", "fe80::1%eth0"], ["", "[::1]", "-x", "a b"]),
        (fields.TxHash, ["0x" + "a" * 64], ["a" * 66, "0x" + "A" * 64]),
        (fields.Port, [1, 65_535], [0, 65_536, -1]),
        (fields.Amount, [0, 10**12], [-1, 10**12 + 1]),
        (fields.Count, [0, 10**6], [-1, 10**6 + 1]),
        (fields.Sequence, [1, 2**53 - 1], [0, 2**53, 2**70]),
        (fields.Capabilities, [[], ["php"] * 32], [["php"] * 33, ["PHP"]]),
        (
            fields.Timestamp,
            ["2026-02-18T12:00:00Z", "2026-02-18T12:00:00.123456Z"],
            ["2026-02-18T12:00:00", "2026-02-18 12:00:00Z", "2026-13-18T12:00:00Z",
             "2026-02-18T24:00:00Z", "2026-02-18T12:00:00+00:00", "2026-02-18T12:00:00Z\n"],
        ),
    ],
)  # fmt: skip
def test_bounds(kind: Any, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        assert msgspec.convert(value, kind) == value
    for value in bad:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(value, kind)


def test_timestamps_are_utc_with_z() -> None:
    noon = datetime(2026, 2, 18, 12, tzinfo=UTC)
    elsewhere = noon.astimezone(timezone(timedelta(hours=5)))

    assert to_timestamp(noon) == to_timestamp(elsewhere) == "2026-02-18T12:00:00Z"
    assert from_timestamp("2026-02-18T12:00:00Z") == noon
    assert from_timestamp(to_timestamp(noon.replace(microsecond=5))).microsecond == 5
    with pytest.raises(ValueError, match="no time zone"):
        to_timestamp(noon.replace(tzinfo=None))
    for impossible in ("2026-02-30T12:00:00Z", "yesterday", "2026-02-18T12:00:00"):
        with pytest.raises(ProtocolError, match="malformed"):
            from_timestamp(impossible)
