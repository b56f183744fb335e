"""`manage.py ledger verify`: whatever is changed in the books, the right thing is named."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import DatabaseError, transaction
from django.db.models import F

from marketplace.models import Execution, LedgerEntry, Payment, Tribute, Wallet
from marketplace.services import verifying, wallet
from marketplace.services.verifying import verify
from marketplace.states import EntryKind, PaymentStatus, TributeStatus
from tests.support.backups import back_up, restore
from tests.support.cluster import Cluster
from tests.support.paying import finish, hired, meet
from tests.support.tampering import unsealed
from tests.support.trading import GRANT, PRICE, Market


@dataclass
class Traded:
    """A market after a trade of two executions, one of them paid and one under way."""

    market: Market
    cluster: Cluster


@pytest.fixture
def traded(cluster: Cluster) -> Iterator[Traded]:
    market = hired(cluster, count=2, agents=3)
    finish(market)
    market.request(market.goal(subtasks=1), count=1)
    cluster.step()
    yield Traded(market, cluster)


def test_the_books_of_both_sides_add_up(traded: Traded) -> None:
    for node, balance, held in (
        (traded.market.buyer, GRANT - 2 * PRICE, PRICE),
        (traded.market.seller, GRANT + 2 * PRICE, 0),
    ):
        with traded.cluster.acting(node):
            findings = verify()
            out = StringIO()
            call_command("ledger", "verify", stdout=out)
        assert findings.difference is None
        assert (findings.balance, findings.held, findings.payments) == (balance, held, 2)
        assert f"balance {balance} VOID, held {held} VOID" in out.getvalue()


def test_a_running_node_can_write_while_its_books_are_verified(
    traded: Traded, monkeypatch: pytest.MonkeyPatch
) -> None:
    buyer = traded.market.buyer
    written: list[int] = []

    def write_elsewhere() -> None:
        path = buyer.connection.settings_dict["NAME"]
        with sqlite3.connect(path, timeout=1) as other:
            written.append(other.execute("UPDATE marketplace_wallet SET balance = 500").rowcount)
        other.close()

    monkeypatch.setattr(verifying, "_first_difference", write_elsewhere)
    with traded.cluster.acting(buyer):
        assert verify().difference is None

    assert written == [1]
    assert traded.market.wallet(buyer)[0] == 500


def test_every_step_of_a_trade_leaves_books_that_add_up(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=3)
    steps: list[Callable[[], object]] = [
        lambda: market.request(market.goal(subtasks=2), count=3),
        cluster.step,
        cluster.step,
        cluster.step,
        market.dispatch,
        cluster.step,
        market.work,
        cluster.step,
        market.gate,
        cluster.step,
        cluster.step,
        cluster.step,
        cluster.step,
    ]
    for step in steps:
        step()
        for node in (market.buyer, market.seller):
            with cluster.acting(node):
                assert verify().difference is None


def last(kind: EntryKind) -> LedgerEntry:
    return LedgerEntry.objects.filter(kind=kind).order_by("-id")[0]


def change_entry(which: EntryKind, **columns: object) -> None:
    with unsealed():
        LedgerEntry.objects.filter(id=last(which).id).update(**columns)


def remove_entry(kind: EntryKind) -> None:
    with unsealed():
        LedgerEntry.objects.filter(id=last(kind).id).delete()


def flip(frame: bytes) -> bytes:
    """Return a frame whose signature is another one."""
    return frame[:-10] + (b"A" if frame[-10:-9] != b"A" else b"B") + frame[-9:]


def swap_frames() -> None:
    first, second = Payment.objects.order_by("id")
    Payment.objects.filter(id=first.id).update(propose_frame=second.propose_frame)


def forge_hash() -> None:
    paid = Tribute.objects.get(status=TributeStatus.COMPLETED)
    Tribute.objects.filter(id=paid.id).update(tx_hash="0x" + "0" * 64)


def drop_payment() -> None:
    Payment.objects.filter(id=Payment.objects.order_by("-created_at", "-id")[0].id).delete()


TAMPERINGS: list[tuple[str, Callable[[], object], str]] = [
    ("buyer", lambda: change_entry(EntryKind.HOLD, amount=8), "balance 986, held 8, found"),
    (
        "buyer",
        lambda: change_entry(EntryKind.CAPTURE, balance_after=987),
        "balance 986, held 0, found balance 987, held 0",
    ),
    ("buyer", lambda: remove_entry(EntryKind.HOLD), "the wallet: expected balance 986, held 0"),
    (
        "buyer",
        lambda: Wallet.objects.update(balance=F("balance") + 1),
        "the wallet: expected balance 986, held 7, found balance 987, held 7",
    ),
    (
        "buyer",
        lambda: Tribute.objects.filter(status=TributeStatus.PENDING).update(
            status=TributeStatus.EXPIRED
        ),
        "expected 0 VOID left, found 7 VOID left",
    ),
    (
        "buyer",
        lambda: Tribute.objects.filter(status=TributeStatus.PENDING).delete(),
        "expected 0 VOID left, found 7 VOID left",
    ),
    ("buyer", lambda: drop_payment(), "of this node, found none"),
    (
        "buyer",
        lambda: Payment.objects.update(amount=PRICE + 1),
        "expected 8 VOID of its payment, found 7 VOID",
    ),
    ("buyer", lambda: Payment.objects.update(propose_frame=b""), "both sides' signed frames"),
    ("buyer", lambda: Payment.objects.update(vote_frame=b""), "the payee's signed vote"),
    ("buyer", swap_frames, "the vote is not the payee's"),
    (
        "buyer",
        lambda: [
            Payment.objects.filter(id=row.id).update(vote_frame=flip(bytes(row.vote_frame)))
            for row in Payment.objects.all()
        ],
        "ConsensusVote",
    ),
    (
        "buyer",
        lambda: Execution.objects.filter(status="accepted").update(run=2),
        "as it was signed",
    ),
    (
        "buyer",
        lambda: Payment.objects.update(status=PaymentStatus.ABORTED),
        "expected a credit that takes it back, found none",
    ),
    ("buyer", forge_hash, "expected tx_hash 0x"),
    (
        "buyer",
        lambda: Execution.objects.filter(status="accepted").update(report_frame=b"{}"),
        "the seller's signed frame",
    ),
    (
        "buyer",
        lambda: change_entry(EntryKind.HOLD, kind="grant", reference="gift"),
        "found balance 986, held 7",
    ),
    ("seller", lambda: change_entry(EntryKind.CREDIT, reference="x"), "a payment x, found none"),
    ("seller", lambda: Payment.objects.update(vote_frame=b""), "the payee's signed vote"),
    (
        "seller",
        lambda: Payment.objects.update(status=PaymentStatus.ABORTED),
        "expected a payment that was voted for, found aborted",
    ),
]


@pytest.mark.parametrize("side", ["buyer", "seller"])
def test_what_was_changed_is_named(traded: Traded, side: str) -> None:
    ours = [(tamper, named) for whose, tamper, named in TAMPERINGS if whose == side]
    with traded.cluster.acting(getattr(traded.market, side)):
        said = [changed(tamper) for tamper, _ in ours]

        assert verify().difference is None  # each change was undone
    missed = [(named, words) for (_, named), words in zip(ours, said, strict=True)]
    assert [pair for pair in missed if pair[0] not in pair[1]] == []


def changed(tamper: Callable[[], object]) -> str:
    """Change something, return what the verification says of it, and undo the change."""
    with transaction.atomic():
        tamper()
        words = str(verify().difference)
        transaction.set_rollback(True)
    return words


def test_a_difference_is_an_exit_code_and_words(traded: Traded) -> None:
    with traded.cluster.acting(traded.market.buyer):
        Wallet.objects.update(balance=F("balance") + 1)
        out, as_json = StringIO(), StringIO()
        codes = []
        for arguments, into in (([], out), (["--json"], as_json)):
            with pytest.raises(SystemExit) as ended:
                call_command("ledger", "verify", *arguments, stdout=into)
            codes.append(ended.value.code)

    words = "the wallet: expected balance 986, held 7, found balance 987, held 7"
    assert codes == [1, 1]
    assert out.getvalue() == f"The books do not add up: {words}.\n"
    assert json.loads(as_json.getvalue())["difference"] == {
        "where": "the wallet",
        "expected": "balance 986, held 7",
        "found": "balance 987, held 7",
    }


def test_the_database_itself_refuses_to_change_or_remove_an_entry(traded: Traded) -> None:
    with traded.cluster.acting(traded.market.buyer):
        entries = LedgerEntry.objects.all()
        before = list(entries.values_list())
        for change in (lambda: entries.update(note="x"), lambda: entries._raw_delete("default")):
            with pytest.raises(DatabaseError, match="immutable"), transaction.atomic():
                change()
        assert list(entries.values_list()) == before


def test_a_restored_node_that_is_overdrawn_says_so(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=1)
    backup = back_up(market.buyer)
    market.request(market.goal(subtasks=1), count=1)
    for _ in range(3):
        cluster.step()
    market.dispatch()
    cluster.step()
    finish(market)
    restore(market.buyer, backup)
    with cluster.acting(market.buyer):
        wallet.move(
            wallet.Movement(kind=EntryKind.HOLD, reference="all", amount=GRANT), now=cluster.now
        )

    meet(market, market.seller, market.buyer)

    with cluster.acting(market.buyer):
        out = StringIO()
        call_command("ledger", "verify", stdout=out)
    assert "The books add up" in out.getvalue()
    assert f"Overdrawn by {PRICE} VOID" in out.getvalue()
