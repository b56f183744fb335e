"""What must hold of the books, the reservations and the offerings of a market, at every step."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from django.db.models import Count, Q

from marketplace.models import Execution, LedgerEntry, Payment, Tribute, Wallet
from marketplace.services import offerings, verifying, wallet
from marketplace.services.references import reservation_of
from marketplace.states import (
    TRIBUTE_TERMINAL,
    EntryKind,
    ExecutionStatus,
    PaymentStatus,
    RequeuePolicy,
    TributeStatus,
)
from swarm.models import Agent
from swarm.queries import agents_are_starting, sellable_agents
from tests.support.cluster import SimNode
from tests.support.market_world import BUYER, MarketWorld
from tests.support.trading import GRANT

AHEAD_MAX = timedelta(seconds=90)  # of a node's clock
OPEN = (ExecutionStatus.OPEN, ExecutionStatus.CANCELLING)


@dataclass
class Book:
    """What was read of one node's ledger so far."""

    last_id: int = 0
    balance: int = 0
    held: int = 0
    captured: dict[str, int] = field(default_factory=dict)
    credited: dict[str, int] = field(default_factory=dict)
    held_for: dict[UUID, int] = field(default_factory=lambda: defaultdict(int))


class Invariants:
    """Checks whatever was touched since the last check, and the sum of all books."""

    def __init__(self, world: MarketWorld) -> None:
        self.world = world
        self.books = {name: Book() for name in world.network.nodes}
        # Set once a node came back with an older copy of its database: what it had promised
        # since is then not captured until its partners show it the promise.
        self.restored = False
        world.network.touched.update(self.books)

    def check(self) -> None:
        """Assert every invariant; the money's whole sum is that of the grants."""
        touched, self.world.network.touched = self.world.network.touched, set()
        for name in sorted(touched):
            with self.world.network.acting(self.world.node(name)):
                self._read_ledger(self.books[name])
                sides = list(_tributes())
                self._check_held(name, sides)
                self._check_captures(self.books[name])
                self._check_reservations(name, sides)
                self._check_offering()
        self.world.network.touched.clear()
        if touched:
            self._check_sum()
        assert not self.world.errors.records, self.world.errors.records[0]

    def forget(self, name: str) -> None:
        """Read a node's ledger from its first entry again: its database is another one."""
        self.books[name] = Book()
        self.restored = True

    def check_quiet(self) -> None:
        """Assert what must hold once everything that was said has arrived."""
        self.check()
        assert not self._underway(), "money is captured that is neither credited nor taken back"
        assert self._lost() == self._uncovered(), "a promise is neither captured nor kept"
        if self.restored:
            return  # deals are not caught up with, only payments
        bought = {each.id: each for each in self._sides(BUYER)}
        sold = {each.id: each for name in self.books if name != BUYER for each in self._sides(name)}
        for tribute_id, tribute in bought.items():
            _assert_agree(tribute, sold.get(tribute_id))
        assert sold.keys() <= bought.keys()

    def check_over(self) -> None:
        """Assert that nothing is left of any trade: for a quiet network without goals."""
        self.check_quiet()
        for name in self.books:
            with self.world.network.acting(self.world.node(name)):
                difference = verifying.verify().difference
                assert difference is None, f"{name}: {difference}"
                alive = Tribute.objects.exclude(status__in=TRIBUTE_TERMINAL)
                assert self.restored or not alive.exists(), f"{name}: {alive[0]} is not over"
                reserved = Agent.objects.exclude(reserved_for="")
                assert not reserved.exists(), f"{name}: agents stay reserved"
                closed = (PaymentStatus.COMMITTED, PaymentStatus.ABORTED)
                assert not Payment.objects.exclude(status__in=closed).exists()
            assert self.books[name].held == 0

    def _read_ledger(self, book: Book) -> None:
        for entry in LedgerEntry.objects.filter(id__gt=book.last_id).order_by("id"):
            kind = EntryKind(entry.kind)
            by_balance, by_held = wallet.EFFECT[kind]
            book.balance += by_balance * entry.amount
            book.held += by_held * entry.amount
            assert (entry.balance_after, entry.held_after) == (book.balance, book.held), entry
            assert 0 <= book.held <= book.balance, entry
            book.last_id = entry.id
            if entry.tribute_id is not None:
                book.held_for[entry.tribute_id] += by_held * entry.amount
            if kind in (EntryKind.CAPTURE, EntryKind.CREDIT):
                kept = book.captured if kind == EntryKind.CAPTURE else book.credited
                assert entry.reference not in kept, f"{entry} is there twice"
                kept[entry.reference] = entry.amount
        row = Wallet.objects.get(id=1)
        assert (row.balance, row.held) == (book.balance, book.held)

    def _check_held(self, name: str, sides: Sequence[Tribute]) -> None:
        """What is held is what the open tributes of a buyer can still cost it, one by one."""
        node_id = self.world.node(name).node_id
        held_for = self.books[name].held_for
        due = {each.id: _due(each) for each in sides if each.from_node_id == node_id}
        for tribute_id, amount in due.items():
            assert held_for[tribute_id] == amount, f"{tribute_id}: {held_for[tribute_id]} is held"
        assert self.books[name].held == sum(due.values())

    def _check_captures(self, book: Book) -> None:
        """No execution is paid twice, nor one whose commit the gate has not found good."""
        own = self.world.network.actor.node_id
        rows = Execution.objects.filter(payment__payer_node_id=own)
        paid = rows.exclude(payment__status=PaymentStatus.ABORTED).select_related("tribute")
        for execution in paid:
            evidence = (execution.task_id, execution.commit)
            assert execution.status == ExecutionStatus.ACCEPTED, f"{execution} is paid"
            assert evidence in self.world.remote.proven, f"{evidence} was never found good"
        doubled = Counter(_paid_for(each) for each in paid)
        # A buyer that has forgotten a result has the task done again, and pays for that too.
        assert self.restored or set(doubled.values()) <= {1}, doubled
        assert len(book.captured) == Payment.objects.filter(payer_node_id=own, uncovered=0).count()

    def _check_reservations(self, name: str, sides: Sequence[Tribute]) -> None:
        """An accepted tribute has one agent for each execution that may still come."""
        node = self.world.node(name)
        # A clock that was set back may have shown up to this before.
        latest = self.world.network.now + AHEAD_MAX
        reserved = Counter(
            Agent.objects.exclude(reserved_for="").values_list("reserved_for", flat=True)
        )
        for tribute in sides:
            kept = reserved.pop(reservation_of(tribute.id), 0)
            if tribute.to_node_id != node.node_id:
                continue
            if tribute.status != TributeStatus.ACCEPTED:
                assert kept == 0, f"{tribute} has {kept} agents"
            elif tribute.reserved_until is not None and tribute.reserved_until > latest:
                assert kept == _left(tribute), f"{tribute} has {kept} agents"
        assert not reserved, f"{name}: {reserved} are of no tribute"

    def _check_offering(self) -> None:
        """Nothing is offered that is not idle; after a start the agents are looked at first."""
        now = self.world.network.now_here()
        offered = offerings.own_live_offering(now)
        if offered is not None and not agents_are_starting():
            assert offered.idle_agents <= len(sellable_agents(now)), offered

    def _check_sum(self) -> None:
        balances = sum(book.balance for book in self.books.values())
        underway = self._underway() - sum(self._lost().values())
        assert balances + underway == GRANT * len(self.books)

    def _underway(self) -> int:
        """Return what is captured and not yet credited, nor taken back; no more is credited."""
        captured = [(name, *each) for name, b in self.books.items() for each in b.captured.items()]
        assert self.restored or not self._lost(), "a credit that nobody paid"
        underway = 0
        for _, reference, amount in captured:
            credits = [
                b.credited[reference] for b in self.books.values() if reference in b.credited
            ]
            assert len(credits) <= 1, f"{reference} is credited and taken back"
            assert not credits or credits == [amount]
            underway += 0 if credits else amount
        return underway

    def _lost(self) -> dict[str, int]:
        """Return what is credited and not captured, by its reference."""
        captured = {each for book in self.books.values() for each in book.captured}
        credited: dict[str, int] = {}
        for book in self.books.values():
            credited |= book.credited
        return {each: amount for each, amount in credited.items() if each not in captured}

    def _uncovered(self) -> dict[str, int]:
        """Return the promises that their payers know of and cannot cover."""
        found: dict[str, int] = {}
        for name in self.books:
            with self.world.network.acting(self.world.node(name)):
                rows = Payment.objects.filter(uncovered__gt=0)
                found |= {row.id.hex: row.uncovered for row in rows}
        return found

    def _sides(self, name: str) -> list[Tribute]:
        node: SimNode = self.world.node(name)
        with self.world.network.acting(node):
            return list(_tributes().prefetch_related("executions"))


def _tributes():  # type: ignore[no-untyped-def]
    closed = Count("executions", filter=~Q(executions__status__in=OPEN))
    return Tribute.objects.annotate(closed=closed).order_by("created_at", "id")


def _left(tribute: Tribute) -> int:
    return tribute.task_count - tribute.released_count - tribute.closed  # type: ignore[attr-defined]


def _due(tribute: Tribute) -> int:
    """Return what a tribute may still cost its buyer."""
    if tribute.status == TributeStatus.PENDING:
        return tribute.total_cost
    return (
        _left(tribute) * tribute.price_per_task if tribute.status == TributeStatus.ACCEPTED else 0
    )


def _paid_for(execution: Execution) -> tuple[UUID, int]:
    """Return what can be paid once: a task's result, or one run of it."""
    per_run = execution.tribute.policy == RequeuePolicy.EXECUTION
    return execution.task_id, execution.run if per_run else 0


def _assert_agree(bought: Tribute, sold: Tribute | None) -> None:
    """Both sides of a tribute are over or none is, with the same executions accepted."""
    over = bought.status in TRIBUTE_TERMINAL
    if sold is None:
        assert over, f"{bought} is not known to its seller"
        assert bought.status != TributeStatus.COMPLETED
        return
    pair = f"buyer: {bought} ({bought.reason}), seller: {sold} ({sold.reason})"
    assert over == (sold.status in TRIBUTE_TERMINAL), pair
    assert (bought.status == TributeStatus.COMPLETED) == (sold.status == TributeStatus.COMPLETED), (
        pair
    )
    assert _accepted(bought) == _accepted(sold), pair


def _accepted(tribute: Tribute) -> set[tuple[UUID, int]]:
    return {
        (each.task_id, each.run)
        for each in tribute.executions.all()
        if each.status == ExecutionStatus.ACCEPTED
    }
