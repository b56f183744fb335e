"""Whatever is heard in whatever order, with whatever pauses: what a machine never does."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import example, given
from hypothesis import strategies as st

from swarm.election.machine import Beat, Effect, Election, Proclaim, Stand, Standing, StepDown
from swarm.election.timing import Timing
from swarm.replication.messages import Term

IDS = ["a" * 32, "b" * 32, "c" * 32]
OWN = IDS[1]
TIMING = Timing(heartbeat_s=10.0, stale_s=30.0, candidacy_s=5.0)

terms = st.builds(
    Term, counter=st.one_of(st.integers(1, 12), st.integers(1, 3000)), node_id=st.sampled_from(IDS)
)
pauses = st.sampled_from([0.0, 0.0, 1.0, 5.0, 5.0, 10.0, 30.0, 31.0, 600.0, -7.0])


@dataclass(frozen=True)
class Input:
    """One call, some seconds after the one before."""

    after_s: float
    call: str
    term: Term
    abdicated: bool = False


calls = ["tick", "tick", "tick", "heartbeat", "heartbeat", "candidacy", "victory", "abdicate"]
inputs = st.builds(Input, pauses, st.sampled_from(calls), terms, st.booleans())
known = st.one_of(st.none(), terms)


def call(own: Election, each: Input, now_s: float) -> list[Effect]:
    match each.call:
        case "tick":
            return own.tick(now_s)
        case "abdicate":
            return own.abdicate(now_s)
        case "heartbeat":
            return own.on_heartbeat(each.term, now_s, abdicated=each.abdicated)
        case "victory":
            return own.on_victory(each.term, now_s)
    return own.on_candidacy(each.term, now_s)


@given(known, st.booleans(), st.booleans(), st.booleans(), st.lists(inputs, max_size=40))
@example(None, False, True, True, [Input(0.0, "tick", Term(counter=1, node_id=OWN))])
def test_what_a_machine_never_does(
    highest: Term | None, in_office: bool, eager: bool, may_stand: bool, story: list[Input]
) -> None:
    own = Election(
        OWN,
        TIMING,
        highest=highest,
        in_office=in_office,
        eager=eager,
        may_stand=may_stand,
        now_s=0.0,
    )
    now_s, reached = 0.0, highest
    proclaimed = highest.counter if highest is not None else 0
    for each in story:
        now_s += each.after_s
        was = own.standing
        effects = call(own, each, now_s)
        for effect in effects:
            assert isinstance(effect, StepDown) or effect.term.node_id == OWN
            match effect:
                case Proclaim(term):
                    assert term.counter > proclaimed
                    proclaimed = term.counter
                    assert own.standing is Standing.EMPEROR
                case Stand():
                    assert own.standing is Standing.CANDIDATE
                    assert may_stand
                    assert was is not Standing.EMPEROR or isinstance(effects[0], StepDown)
                case Beat(term, abdicated):
                    assert was is Standing.EMPEROR
                    assert abdicated == (each.call == "abdicate")
                case StepDown(term):
                    assert was is Standing.EMPEROR
                    assert own.standing is not Standing.EMPEROR
        left = was is Standing.EMPEROR and own.standing is not Standing.EMPEROR
        assert left == any(isinstance(effect, StepDown) for effect in effects)
        assert reached is None or (own.term is not None and own.term.rank >= reached.rank)
        reached = own.term
        if own.standing is Standing.EMPEROR:
            assert own.term is not None
            assert own.term.node_id == own.emperor_node_id == OWN
        assert own.acts <= (own.standing is Standing.EMPEROR)
        assert own.next_due_s(now_s) >= now_s
