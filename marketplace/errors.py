"""Expected refusals of the marketplace, with stable codes."""

from __future__ import annotations

from p2p.protocol.errors import DomainError


class InsufficientFunds(DomainError):
    """The wallet has less than is asked of it."""

    def __init__(self, wanted: int, available: int) -> None:
        super().__init__(
            "insufficient_funds", f"{wanted} VOID wanted, {available} VOID are available"
        )


class RuleBroken(DomainError):
    """A message that breaks a rule of the trade; names the rule."""

    def __init__(self, rule: str) -> None:
        super().__init__("rule_broken", rule)
