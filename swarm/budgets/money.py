"""US dollars as whole millionths: sums of them are exact."""

from __future__ import annotations

import math

from p2p.protocol.errors import DomainError

MICROS = 1_000_000
USD_MAX = 1_000_000


def micros_of(usd: float) -> int:
    """Return dollars as millionths; DomainError `bad_cost` for what is no amount of money."""
    if not math.isfinite(usd) or not 0 <= usd <= USD_MAX:
        raise DomainError("bad_cost", f"cost {usd} is outside 0 to {USD_MAX} dollars", status=422)
    return round(usd * MICROS)


def usd_of(micros: int | None) -> float | None:
    """Return millionths as dollars, None as None."""
    return None if micros is None else micros / MICROS


def shown_usd(micros: int) -> str:
    """Return an amount for a person, with at least two digits behind the point."""
    text = f"{micros / MICROS:.6f}".rstrip("0")
    whole, _, part = text.partition(".")
    return f"${whole}.{part.ljust(2, '0')}"
