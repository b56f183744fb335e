"""GitHub's three kinds of comments as remarks, whoever fetched them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from swarm.forge.contract import Remark

# Whoever GitHub calls otherwise cannot write to the repository, so nobody asks about them.
CLOSE_TO_IT = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})
WRITING = frozenset({"admin", "maintain", "write"})

Row = dict[str, Any]


def remarks_of(
    inline: Iterable[Row],
    general: Iterable[Row],
    reviews: Iterable[Row],
    *,
    own: str,
    may_write: Callable[[str], bool],
) -> list[Remark]:
    """Return comments by others than `own`, oldest first; `may_write` is asked once a person."""
    known: dict[str, bool] = {}

    def may_steer(row: Row) -> bool:
        login = _author(row)
        if str(row.get("author_association")) not in CLOSE_TO_IT:
            return False
        if login not in known:
            known[login] = may_write(login)
        return known[login]

    rows = [
        *(("line", row, f"line-{row.get('in_reply_to_id') or row['id']}") for row in inline),
        *(("general", row, f"general-{row['id']}") for row in general),
        *(("review", row, f"review-{row['id']}") for row in reviews),
    ]
    found = [
        Remark(
            forge_id=f"{kind}-{row['id']}",
            thread=thread,
            author=_author(row),
            may_steer=may_steer(row),
            body=str(row["body"]),
            written_at=_time(row.get("created_at") or row["submitted_at"]),
            path=str(row.get("path") or ""),
            line=row.get("line") or row.get("original_line"),
            hunk=str(row.get("diff_hunk") or ""),
        )
        for kind, row, thread in rows
        if str(row.get("body") or "").strip() and _author(row) != own
    ]
    return sorted(found, key=lambda remark: remark.written_at)


def _author(row: Row) -> str:
    return str((row.get("user") or {}).get("login", "ghost"))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
