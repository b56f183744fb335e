"""The stateful test's machine: any order of acts, faults and time over a market of three nodes."""

from __future__ import annotations

import sys
from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from marketplace.states import RequeuePolicy
from tests.support import market_end
from tests.support.market_invariants import Invariants
from tests.support.market_start import Start
from tests.support.market_world import BUYER, NODES, SELLERS, MarketWorld

SELLER = st.sampled_from(SELLERS)
NODE = st.sampled_from(NODES)
WHICH = st.integers(0, 5)
PRICES = st.sampled_from((7, 0, 1, 300, 1001))
# A beat, a retry, a deadline, a reservation's end, an offering's, an expiry and a day.
SECONDS = st.sampled_from((1, 3, 1, 3, 20, 20, 61, 95, 130, 310, 3700, 90_000))
SKEWS = st.integers(-90, 90)
SHOP = ("sell", "stop", "add", "remove", "remote", "by_run", "by_result", "cancel")
ENDS = ("good", "begin", "good", "fail", "none", "wrong", "foreign")
GOALS_MAX = 3


def _needs(name: str):  # type: ignore[no-untyped-def]
    return precondition(lambda self: self.world.lives(name))


class MarketMachine(RuleBasedStateMachine):
    """A buyer, a seller that takes its requests at once, and one that asks its operator."""

    start: Start
    # Whether a node may come back with an older copy of its database.
    restores = False

    def __init__(self) -> None:
        super().__init__()
        self.world = MarketWorld(self.start)
        self.checks: Invariants | None = None
        self.goals = 1
        self.copies: dict[str, bytes] = {}
        self.skewed = False

    @initialize(
        absent=st.sampled_from((("south",), ("north",), ())),
        work_s=st.sampled_from((86_400, 150)),
        requeue=st.sampled_from(RequeuePolicy),
        hired=st.sampled_from((0, 1, 2)),
        returns=NODE,
    )
    def begin_with(
        self,
        absent: tuple[str, ...],
        work_s: int,
        requeue: RequeuePolicy,
        hired: int,
        returns: str,
    ) -> None:
        """Two sellers or one of them: the half of what may happen, at two thirds of the cost."""
        for name in absent:
            self.world.network.forget(name)
        self.world.give_time(work_s)
        if hired:
            self.world.begin_from(self.start.hired(absent, requeue, hired))
        elif requeue != RequeuePolicy.ACCEPTED_RESULT:
            for name in SELLERS:
                if self.world.lives(name):
                    self.world.sell_under(name, requeue)
        self.returns = returns
        if self.restores:
            nodes = self.world.network.nodes
            self.copies = {name: self.world.network.copy_of(node) for name, node in nodes.items()}
        self.checks = Invariants(self.world)

    @precondition(lambda self: self.goals < GOALS_MAX)
    @_needs(BUYER)
    @rule(parts=st.integers(1, 3))
    def submit_goal(self, parts: int) -> None:
        self.goals += 1
        self.world.submit_goal(parts)

    @_needs(BUYER)
    @rule(number=WHICH, count=st.sampled_from((1, 2, 1, 2, 3, 0, -1, 51)))
    def request(self, number: int, count: int) -> None:
        self.world.request(number, count)

    @_needs(BUYER)
    @rule(number=WHICH, count=st.integers(1, 2))
    def deal(self, number: int, count: int) -> None:
        """A request that is accepted and assigned, as on a good day."""
        self._deal(number, count)

    @_needs(BUYER)
    @rule(seller=SELLER, number=WHICH, how=st.sampled_from(ENDS))
    def trade(self, seller: str, number: int, how: str) -> None:
        """A request that is accepted, assigned and comes to its end at once."""
        self._deal(number, 2)
        self._finish(seller, number, how)
        self.world.live(1)
        self.world.judge(0, "merge")

    @_needs(BUYER)
    @rule(seller=SELLER, number=WHICH)
    def harvest(self, seller: str, number: int) -> None:
        """A run that ends well, is reported and found good, as on a good day."""
        self._finish(seller, number, "good")
        self.world.live(1)
        self.world.judge(0, "merge")

    @_needs(BUYER)
    @rule(number=WHICH, what=st.sampled_from(("tribute", "execution", "subtask", "goal")))
    def cancel(self, number: int, what: str) -> None:
        if what == "tribute":
            self.world.cancel_tribute(BUYER, number)
        elif what == "execution":
            self.world.cancel_execution(number)
        elif what == "subtask":
            self.world.take_back(number)
        else:
            self.world.cancel_goal()

    @_needs(BUYER)
    @rule(number=WHICH, how=st.sampled_from(("merge", "look", "red", "begin")))
    def judge(self, number: int, how: str) -> None:
        self.world.judge(number, how)

    @rule(seller=SELLER, number=WHICH, what=st.sampled_from(SHOP), price=PRICES)
    def keep_shop(self, seller: str, number: int, what: str, price: int) -> None:
        """The seller's people change what there is to sell."""
        if not self.world.lives(seller):
            return
        acts = {
            "sell": lambda: self.world.sell(seller, number, price),
            "stop": lambda: self.world.stop_selling(seller),
            "add": lambda: self.world.add_agent(seller),
            "remove": lambda: self.world.remove_agent(seller, number),
            "remote": lambda: self.world.remote.toggle(),
            "by_run": lambda: self.world.sell_under(seller, RequeuePolicy.EXECUTION),
            "by_result": lambda: self.world.sell_under(seller, RequeuePolicy.ACCEPTED_RESULT),
            "cancel": lambda: self.world.cancel_tribute(seller, number),
        }
        acts[what]()

    @rule(seller=SELLER, accept=st.sampled_from((True, True, False)))
    def decide(self, seller: str, accept: bool) -> None:
        self._decide(seller, accept)

    @rule(seller=SELLER, number=WHICH, how=st.sampled_from(ENDS))
    def finish(self, seller: str, number: int, how: str) -> None:
        """A run begins, ends well, fails, or reports a commit that is not its own."""
        self._finish(seller, number, how)

    @rule(seconds=SECONDS)
    def live(self, seconds: int) -> None:
        self.world.live(seconds)

    @rule(seconds=SECONDS)
    def wait(self, seconds: int) -> None:
        """Time in which nobody comes to anything."""
        self.world.network.now += timedelta(seconds=seconds)

    @rule(name=NODE, all_speak=st.booleans())
    def tend(self, name: str, all_speak: bool) -> None:
        """One node comes to its chores; what it says, and what others say, is not there yet."""
        self.world.tend(name)
        if all_speak:
            self.world.network.collect()

    @precondition(lambda self: self.world.network.flying)
    @rule(number=st.integers(0, 40), keep=st.booleans())
    def deliver_one(self, number: int, keep: bool) -> None:
        """One frame overtakes the others, and may come again."""
        flying = self.world.network.flying
        self.world.network.deliver_one(number % len(flying), keep=keep)

    @precondition(lambda self: self.world.network.flying)
    @rule(number=st.integers(0, 40))
    def drop(self, number: int) -> None:
        self.world.network.drop(number % len(self.world.network.flying))

    @precondition(lambda self: self.world.network.sent)
    @rule(number=st.integers(0, 200))
    def repeat(self, number: int) -> None:
        self.world.network.repeat(number)

    @rule(seller=SELLER)
    def cut(self, seller: str) -> None:
        self.world.network.cut.add(frozenset((BUYER, seller)))

    @precondition(lambda self: self.world.network.cut)
    @rule()
    def heal(self) -> None:
        self.world.heal()

    @rule(
        name=NODE,
        during=st.sampled_from(("nothing", "tend", "emit", "deliver")),
        commits=st.integers(0, 6),
        away=st.booleans(),
    )
    def crash(self, name: str, during: str, commits: int, away: bool) -> None:
        if self.world.lives(name):
            self.world.crash(name, during, commits)
        if not away and name in self.world.network.down:
            self.world.restart(name)

    @precondition(lambda self: self.world.network.down)
    @rule()
    def restart(self) -> None:
        for name in sorted(self.world.network.down):
            self.world.restart(name)

    @rule(name=NODE, seconds=SKEWS)
    def skew(self, name: str, seconds: int) -> None:
        if name in self.world.network.nodes:
            self.world.node(name).ahead = timedelta(seconds=seconds)
            self.skewed = True

    @precondition(lambda self: self.restores)
    @rule(name=NODE)
    def copy(self, name: str) -> None:
        if name in self.world.network.nodes:
            self.copies[name] = self.world.network.copy_of(self.world.node(name))

    @precondition(lambda self: self.restores and self.copies)
    @rule(number=WHICH)
    def restore(self, number: int) -> None:
        """A node comes back with an older copy of its database."""
        name = sorted(self.copies)[number % len(self.copies)]
        self._restore(name)

    @invariant()
    def books_add_up(self) -> None:
        assert self.checks is not None
        self.checks.check()

    def teardown(self) -> None:
        try:
            # What has failed already is told as it is, not as what follows from it.
            if self.checks is None or sys.exc_info()[0] is not None:
                return
            if self.restores and not self.checks.restored:
                self._restore(self.returns)
            market_end.settle(self.world, again=self.skewed)
            self.checks.check_quiet()
            market_end.end_all(self.world)
            if self.checks.restored:
                # The other side of a forgotten deal ends by its deadline.
                self.world.network.now += timedelta(days=2)
            market_end.settle(self.world, again=True)
            self.checks.check_over()
        finally:
            self.world.close()

    def _deal(self, number: int, count: int) -> None:
        self.world.request(number, count)
        self.world.live(1)
        for seller in SELLERS:
            self._decide(seller, True)
        self.world.live(1)
        self.world.live(1)

    def _decide(self, seller: str, accept: bool) -> None:
        if self.world.lives(seller):
            self.world.decide(seller, accept=accept)

    def _finish(self, seller: str, number: int, how: str) -> None:
        if not self.world.lives(seller):
            return
        if how == "begin":
            self.world.begin(seller)
        else:
            self.world.finish(seller, number, how)

    def _restore(self, name: str) -> None:
        if name not in self.copies:
            return
        if self.world.lives(name):
            self.world.crash(name, "nothing", 0)
        self.world.network.put_back(self.world.node(name), self.copies[name])
        self.checks.forget(name)
        self.world.restart(name)
