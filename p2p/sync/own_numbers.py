"""Our own numbering as others show it: proof, or a hint, that it once went further than we know."""

from __future__ import annotations

from collections.abc import Callable, Collection

from p2p.protocol.limits import INCARNATION_JUMP_MAX
from p2p.sync.marks import Mark


def seen_ahead(
    own: Mark,
    *,
    signed: Collection[Mark],
    claimed: Collection[Mark],
    now_s: int,
    may_believe: Callable[[], bool],
) -> Mark | None:
    """Return the highest place of our own numbering beyond `own` that is to be believed, if any.

    Our own signature is proof. An unsigned statement is only a hint, which costs little to
    follow: it is believed when `may_believe()` says so, which is asked last and at most once,
    and never when it is further away than any numbering can be at `now_s` (unix seconds).
    """
    proved = max(signed, default=own)
    if proved > own:
        return proved
    hint = max(claimed, default=own)
    if hint <= own or hint.incarnation > max(own.incarnation, now_s) + INCARNATION_JUMP_MAX:
        return None
    return hint if may_believe() else None


def incarnation_after(seen: int, now_s: int) -> int:
    """Return the incarnation of an old copy of a home that met its own incarnation `seen`.

    The time in unix seconds, because the next number could have been used by an earlier copy of
    the same backup: two different records under one number would never be told apart.
    """
    return max(seen + 1, now_s)
