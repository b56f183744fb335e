"""What a check of the demo found."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from voidlux_site.demo.client import Json


@dataclass(frozen=True)
class Check:
    """One thing that was checked, and how it turned out."""

    name: str
    ok: bool
    text: str

    def as_json(self) -> Json:
        """Return the check as JSON-ready data."""
        return asdict(self)
