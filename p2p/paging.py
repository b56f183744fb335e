"""Cursor pagination: pages of a query that stay right while rows are added."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import Model, Q, QuerySet
from ninja import Field, Schema

from p2p.protocol.errors import DomainError

PAGE_SIZE_DEFAULT = 50
PAGE_SIZE_MAX = 200
CURSOR_CHARS_MAX = 400

M = TypeVar("M", bound=Model)


class PageQuery(Schema):
    """Which page of a list is wanted, and how long it may be."""

    cursor: Annotated[
        str, Field(max_length=CURSOR_CHARS_MAX, description="`next_cursor` of the page before.")
    ] = ""
    limit: Annotated[int, Field(ge=1, le=PAGE_SIZE_MAX)] = PAGE_SIZE_DEFAULT


def paginate(
    rows: QuerySet[M], page: PageQuery, *, order: str, describe: Callable[[M], dict[str, Any]]
) -> dict[str, Any]:
    """Return `{"items", "next_cursor"}` ordered by the field `order` (`-` for descending).

    The primary key breaks ties. Raises DomainError `bad_cursor` (422) for a cursor that this
    list did not give out.
    """
    field, descending = order.removeprefix("-"), order.startswith("-")
    ordered = rows.order_by(order, "-pk" if descending else "pk")
    if page.cursor:
        ordered = ordered.filter(_after(rows.model, page.cursor, field, descending))
    found = list(ordered[: page.limit + 1])
    shown = found[: page.limit]
    more = len(found) > page.limit
    return {
        "items": [describe(row) for row in shown],
        "next_cursor": _encode(shown[-1], field) if more else None,
    }


def paginate_together(
    lists: Sequence[tuple[QuerySet[Any], Callable[[Any], dict[str, Any]]]],
    page: PageQuery,
    *,
    order: str,
) -> dict[str, Any]:
    """Return one page of several lists as if they were one; their fields `order` are alike.

    Primary keys must be UUIDs, which break ties. DomainError `bad_cursor` as in `paginate`.
    """
    field, descending = order.removeprefix("-"), order.startswith("-")
    found = []
    for rows, describe in lists:
        ordered = rows.order_by(order, "-pk" if descending else "pk")
        if page.cursor:
            ordered = ordered.filter(_after(rows.model, page.cursor, field, descending))
        found += [(row, describe) for row in ordered[: page.limit + 1]]
    found.sort(key=lambda pair: (getattr(pair[0], field), pair[0].pk.hex), reverse=descending)
    shown = found[: page.limit]
    return {
        "items": [describe(row) for row, describe in shown],
        "next_cursor": _encode(shown[-1][0], field) if len(found) > page.limit else None,
    }


def _encode(row: Model, field: str) -> str:
    texts = json.dumps([str(getattr(row, field)), str(row.pk)])
    return base64.urlsafe_b64encode(texts.encode()).decode().rstrip("=")


def _after(model: type[Model], cursor: str, field: str, descending: bool) -> Q:
    value, key = _decode(model, cursor, field)
    side = "lt" if descending else "gt"
    return Q(**{f"{field}__{side}": value}) | Q(**{field: value, f"pk__{side}": key})


def _decode(model: type[Model], cursor: str, field: str) -> tuple[Any, Any]:
    try:
        texts = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        value, key = texts
        if "\0" in value + key:
            raise ValueError("a zero byte, which PostgreSQL refuses to compare with")
        return (
            model._meta.get_field(field).to_python(value),  # type: ignore[union-attr]
            model._meta.pk.to_python(key),
        )
    except (ValueError, TypeError, binascii.Error, ValidationError, FieldDoesNotExist):
        raise DomainError(
            "bad_cursor", f"cursor {cursor[:40]!r} was not given out by this list", status=422
        ) from None
