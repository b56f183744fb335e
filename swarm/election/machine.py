"""The election as a sans-IO machine: a bully with terms.

Each call takes what was heard and the time in monotonic seconds, and returns what is to be done,
in that order. Nothing here waits, sends or stores. A copy (`copy.copy`) is a machine of its own,
so that a caller can drop a step whose effects it could not commit.

What counts is the rank of a term: the higher counter, then the lower node id. Whoever knows a
term never follows, nor goes on with, one of a lower rank.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from swarm.election.timing import Timing
from swarm.replication.messages import TERM_JUMP_MAX, Term


class Standing(Enum):
    """What a member is in the election."""

    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    EMPEROR = "emperor"


@dataclass(frozen=True, slots=True)
class Stand:
    """Flood ELECTION_START for this term."""

    term: Term


@dataclass(frozen=True, slots=True)
class Proclaim:
    """Begin this term: persist it, then announce it with a first heartbeat, and act."""

    term: Term


@dataclass(frozen=True, slots=True)
class Beat:
    """Flood EMPEROR_HEARTBEAT now."""

    term: Term
    abdicated: bool = False


@dataclass(frozen=True, slots=True)
class StepDown:
    """Stop acting at once: this term outranks ours, or is ours and was given up."""

    term: Term


Effect = Stand | Proclaim | Beat | StepDown


class Election:
    """One member's part in the election of its swarm.

    It wants a tick at `next_due_s`, and at least every heartbeat: by a longer silence of its own
    clock than `stale_s` it knows that it was away (paused, or the clock jumped). A member that
    was away waits anew before it stands; an emperor that was away, or whose process has just
    begun, asks by a heartbeat, and does not act (`acts`) until nobody has named a higher term for
    `candidacy_s`.
    """

    def __init__(
        self,
        node_id: str,
        timing: Timing,
        *,
        highest: Term | None,
        in_office: bool,
        returns: bool = False,
        eager: bool,
        may_stand: bool,
        now_s: float,
    ) -> None:
        """Take what was persisted, and how this member may take part.

        `highest`: the highest term known, its own included. `in_office`: that term is its own and
        goes on. `returns`: its process was away, and others may have elected. `eager`: it
        proclaims itself at the first tick if it has heard of nobody by then.
        """
        self.node_id = node_id
        self.standing = Standing.FOLLOWER
        self._timing = timing
        self._known = highest
        self._may_stand = may_stand
        self._eager = eager and may_stand
        self._claimed = 0  # the highest counter of a candidacy that was heard of
        self._followed = highest.node_id if highest else None
        self._answers = True  # it hears no emperor and yields to nobody
        self._doubt_until_s: float | None = None
        self._awake_s = now_s
        # As follower: when it stands. As candidate: when it proclaims. As emperor: its next beat.
        self._due_s = now_s if self._eager else now_s + timing.stale_s
        if in_office and highest is not None and highest.node_id == node_id:
            self.standing, self._due_s = Standing.EMPEROR, now_s
            self._doubt_until_s = now_s + timing.candidacy_s if returns else None
        elif self._followed == node_id:
            self._followed = None

    @property
    def term(self) -> Term | None:
        """The highest term known: its own while it is emperor."""
        return self._known

    @property
    def emperor_node_id(self) -> str | None:
        """Whom it follows, itself in office; None while the office seems to be vacant."""
        return self._followed

    @property
    def acts(self) -> bool:
        """Whether it is emperor and has no reason to doubt it; changes at ticks and messages."""
        return self.standing is Standing.EMPEROR and self._doubt_until_s is None

    def next_due_s(self, now_s: float) -> float:
        """Return when the next tick is wanted."""
        wanted = [self._due_s, self._awake_s + self._timing.heartbeat_s]
        if self._doubt_until_s is not None:
            wanted.append(self._doubt_until_s)
        return max(now_s, min(wanted))

    def tick(self, now_s: float) -> list[Effect]:
        """Do what is due."""
        self._wake(now_s)
        if self._doubt_until_s is not None and now_s >= self._doubt_until_s:
            self._doubt_until_s = None
        if now_s < self._due_s:
            return []
        if self.standing is Standing.EMPEROR:
            return self._beat(now_s)
        if self.standing is Standing.CANDIDATE or self._eager:
            return self._proclaim(now_s)
        return self._stand(now_s)

    def on_heartbeat(self, term: Term, now_s: float, abdicated: bool = False) -> list[Effect]:
        """Hear that an emperor acts, or gives up its office."""
        self._wake(now_s)
        if self._is_too_far(term):
            return []
        if term.node_id == self.node_id:
            return self._hear_of_itself(term, now_s)
        if self._outranked_by_known(term):
            return self._beat(now_s) if self.standing is Standing.EMPEROR else []
        if not abdicated:
            return self._follow(term, now_s)
        if self.standing is Standing.CANDIDATE:
            self._known = term
            return []
        return [*self._follow(term, now_s), *self._stand(now_s)]

    def on_victory(self, term: Term, now_s: float) -> list[Effect]:
        """Hear that a term began; that it is known already says nothing of its emperor's life."""
        if term == self._known and self.standing is not Standing.EMPEROR:
            self._wake(now_s)
            return []
        return self.on_heartbeat(term, now_s)

    def on_candidacy(self, term: Term, now_s: float) -> list[Effect]:
        """Hear that a member stands: its counter is not in force, but no lower one may follow."""
        self._wake(now_s)
        if self._is_too_far(term) or term.node_id == self.node_id:
            return []
        self._claimed = max(self._claimed, term.counter)
        if self.standing is Standing.EMPEROR:
            return self._beat(now_s)
        if int(term.node_id, 16) < int(self.node_id, 16):
            self._yield(now_s)
            return []
        if self.standing is Standing.CANDIDATE:
            return [Stand(self._next_term())]
        return self._stand(now_s) if self._answers else []

    def abdicate(self, now_s: float) -> list[Effect]:
        """Give up the office, and leave it to others for a while; nothing where it has none."""
        self._wake(now_s)
        if self.standing is not Standing.EMPEROR or self._known is None:
            return []
        self._leave()
        self._followed = None
        self._due_s = now_s + self._timing.abstain_s
        return [Beat(self._known, abdicated=True), StepDown(self._known)]

    def _wake(self, now_s: float) -> None:
        # A clock that ran backwards says as little of what happened meanwhile as a long pause.
        away = not 0 <= now_s - self._awake_s <= self._timing.stale_s
        self._awake_s = now_s
        if not away:
            return
        if self.standing is Standing.EMPEROR:
            self._due_s = now_s
            self._doubt_until_s = now_s + self._timing.candidacy_s
        else:
            self._leave()
            self._due_s = now_s + self._timing.stale_s

    def _is_too_far(self, term: Term) -> bool:
        return self._known is not None and term.counter > self._known.counter + TERM_JUMP_MAX

    def _outranked_by_known(self, term: Term) -> bool:
        return self._known is not None and term.rank < self._known.rank

    def _next_term(self) -> Term:
        known = 0 if self._known is None else self._known.counter
        return Term(counter=max(known + 1, self._claimed), node_id=self.node_id)

    def _beat(self, now_s: float) -> list[Effect]:
        assert self._known is not None
        self._due_s = now_s + self._timing.heartbeat_s
        return [Beat(self._known)]

    def _stand(self, now_s: float) -> list[Effect]:
        self._followed = None
        if not self._may_stand:
            self._due_s = math.inf
            return []
        self.standing = Standing.CANDIDATE
        self._due_s = now_s + self._timing.candidacy_s
        return [Stand(self._next_term())]

    def _proclaim(self, now_s: float) -> list[Effect]:
        self._known = self._next_term()
        self.standing, self._followed, self._eager = Standing.EMPEROR, self.node_id, False
        self._due_s = now_s + self._timing.heartbeat_s
        return [Proclaim(self._known)]

    def _follow(self, term: Term, now_s: float) -> list[Effect]:
        deposed = self.standing is Standing.EMPEROR
        self._leave()
        self._known, self._followed = term, term.node_id
        self._due_s = now_s + self._timing.stale_s
        return [StepDown(term)] if deposed else []

    def _yield(self, now_s: float) -> None:
        # Who still hears its emperor goes on waiting for that one.
        waits_s = now_s + self._timing.yield_s
        following = self.standing is Standing.FOLLOWER
        self._due_s = max(self._due_s, waits_s) if following else waits_s
        self._leave()

    def _leave(self) -> None:
        self.standing = Standing.FOLLOWER
        self._answers = self._eager = False
        self._doubt_until_s = None

    def _hear_of_itself(self, term: Term, now_s: float) -> list[Effect]:
        # A term of its own above all that it knows is one that it has forgotten, with its database.
        if self._known is not None and term.rank <= self._known.rank:
            return []
        self._known = term
        return self._proclaim(now_s) if self.standing is Standing.EMPEROR else []
