"""A rate limit that is paid afterwards: what came is handled, then reading rests."""

from __future__ import annotations


class TokenBucket:
    """Tokens that come back at a rate and may go into debt; time is given by the caller."""

    def __init__(self, rate_per_s: float, burst: float, now: float) -> None:
        """Start full: `burst` tokens, refilled by `rate_per_s` from `now` (seconds) on."""
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = burst
        self._at = now

    def take(self, amount: float, now: float) -> float:
        """Take tokens; return how many seconds the taker must rest until the debt is paid."""
        refilled = self._tokens + (now - self._at) * self._rate_per_s
        self._tokens = min(self._burst, refilled) - amount
        self._at = now
        return max(0.0, -self._tokens / self._rate_per_s)
