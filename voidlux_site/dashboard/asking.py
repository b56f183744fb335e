"""What a part of the page is asked for: the moment, and the filter of its form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any, TypeVar

from django.db.models import Model, QuerySet

from marketplace.services.hours import node_zone

TEXT_CHARS_MAX = 64
PAGES_MAX = 100_000

M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class Asked:
    """The moment a part is drawn for, and the query of its address; odd values count as none."""

    now: datetime
    query: Mapping[str, str] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return a trimmed value, empty when it is missing, too long or unprintable."""
        value = str(self.query.get(name, "")).strip()
        return value if len(value) <= TEXT_CHARS_MAX and value.isprintable() else ""

    def choice(self, name: str, choices: list[str]) -> str:
        """Return a value that is one of the choices, else the first of them."""
        value = self.text(name)
        return value if value in choices else choices[0]

    def page(self) -> int:
        """Return the page that is wanted, from 1."""
        digits = self.text("page")
        wanted = int(digits) if digits.isascii() and digits.isdigit() else 1
        return min(max(1, wanted), PAGES_MAX)

    def midnight(self, name: str, *, after_days: int = 0) -> datetime | None:
        """Return when a day begins in the node's time zone, so many days later; None for none."""
        try:
            day = date.fromisoformat(self.text(name)) + timedelta(days=after_days)
        except (ValueError, OverflowError):
            return None
        if not 2 <= day.year <= 9998:  # a zone may move it by a day
            return None
        return datetime.combine(day, time(), node_zone())


def page_of(rows: QuerySet[M], asked: Asked, size: int) -> dict[str, Any]:
    """Return one page: its `rows`, its `number`, and the `earlier` and `later` ones if any."""
    number = asked.page()
    found = list(rows[(number - 1) * size : number * size + 1])
    return {
        "rows": found[:size],
        "number": number,
        "earlier": number - 1 if number > 1 else None,
        "later": number + 1 if len(found) > size else None,
    }
