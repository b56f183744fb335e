"""What was said of late, so that the log says it once and not a thousand times."""

from __future__ import annotations

from collections.abc import Callable

from p2p.protocol.limits import FAULT_NAMED_AGAIN_S, NEWS_MAX


class News:
    """Remembers who was named for what; bounded, the oldest are forgotten first."""

    def __init__(self, now: Callable[[], float]) -> None:
        """Take a monotonic clock in seconds."""
        self._now = now
        self._said_at: dict[tuple[str, str], float] = {}

    def __len__(self) -> int:
        return len(self._said_at)

    def is_news(self, who: str, what: str) -> bool:
        """Tell whether this was not said in the last ten minutes; the log need not repeat it."""
        now, said_at = self._now(), self._said_at.pop((who, what), None)
        news = said_at is None or now - said_at > FAULT_NAMED_AGAIN_S
        self._said_at[who, what] = now if said_at is None or news else said_at
        if len(self._said_at) > NEWS_MAX:
            del self._said_at[next(iter(self._said_at))]
        return news
