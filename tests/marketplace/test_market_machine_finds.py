"""The market's machine finds what it is there for: defects that are planted into the services."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from marketplace.models import LedgerEntry, Wallet
from marketplace.services import catching_up, payments, reservations, sales, wallet
from marketplace.services.wallet import Movement
from marketplace.states import EntryKind
from p2p import outbox
from p2p.protocol.errors import DomainError
from tests.support.market_machine import MarketMachine
from tests.support.market_runs import find_defect
from tests.support.market_start import Start

pytestmark = pytest.mark.faults

EXAMPLES = 60  # within which each defect must be found

Plant = Callable[[pytest.MonkeyPatch], None]
_move = wallet.move


def credits_anew(patch: pytest.MonkeyPatch) -> None:
    """A credit has no reference that makes it happen once."""
    numbers = itertools.count()

    def move(movement: Movement, **rest: Any) -> LedgerEntry | None:
        if movement.kind == EntryKind.CREDIT:
            reference = f"{movement.reference}:{next(numbers)}"
            movement = Movement(**{**vars(movement), "reference": reference})
        return _move(movement, **rest)

    patch.setattr(wallet, "move", move)


def releases_twice(patch: pytest.MonkeyPatch) -> None:
    """What is given back is given back again."""

    def move(movement: Movement, **rest: Any) -> LedgerEntry | None:
        entry = _move(movement, **rest)
        if entry is not None and movement.kind == EntryKind.RELEASE:
            again = {**vars(movement), "reference": f"{movement.reference}:again"}
            if Wallet.objects.get(id=1).held >= movement.amount:
                _move(Movement(**again), **rest)
        return entry

    patch.setattr(wallet, "move", move)


def holds_nothing(patch: pytest.MonkeyPatch) -> None:
    """A tribute is requested without its cost."""

    def move(movement: Movement, **rest: Any) -> LedgerEntry | None:
        return None if movement.kind == EntryKind.HOLD else _move(movement, **rest)

    patch.setattr(wallet, "move", move)


def pays_what_was_refused(patch: pytest.MonkeyPatch) -> None:
    """An execution that the gate refused is paid as well."""

    def move(movement: Movement, **rest: Any) -> LedgerEntry | None:
        if movement.kind == EntryKind.RELEASE and movement.note.startswith("not accepted"):
            movement = Movement(**{**vars(movement), "kind": EntryKind.CAPTURE})
        return _move(movement, **rest)

    patch.setattr(wallet, "move", move)


def keeps_reservations(patch: pytest.MonkeyPatch) -> None:
    """Agents stay reserved when their tribute is over."""
    for module in (sales, reservations):
        patch.setattr(module, "release_agents", lambda *_, **__: 0)


def forgets_proposals(patch: pytest.MonkeyPatch) -> None:
    """A payment is proposed for a minute, and then no more."""
    real = outbox.send_command

    def send(command: type[Any], **fields: Any) -> Any:
        if command is payments.ConsensusPropose:
            fields["expires_in_s"] = 60.0
        return real(command, **fields)

    patch.setattr(outbox, "send_command", send)


def recovers_nothing(patch: pytest.MonkeyPatch) -> None:
    """What a partner proves to a node that came back from a backup is not booked."""
    patch.setattr(catching_up, "take_certificate", lambda *_, **__: False)


PLANTED: tuple[Plant, ...] = (
    credits_anew,
    releases_twice,
    holds_nothing,
    pays_what_was_refused,
    keeps_reservations,
    forgets_proposals,
    recovers_nothing,
)


@pytest.mark.timeout(0)
@pytest.mark.parametrize("plant", PLANTED)
def test_a_planted_defect_is_found(
    plant: Plant, market_start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Market(MarketMachine):
        start = market_start
        restores = plant is recovers_nothing

    plant(monkeypatch)
    with pytest.raises((AssertionError, DomainError)):
        find_defect(Market, within=EXAMPLES)
