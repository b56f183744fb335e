"""The targets of the fuzzer hold for its first inputs and for what chance makes of them."""

from __future__ import annotations

import random

import pytest

from p2p.registration import registry
from tests.fuzz.corpus import corpus_of, sample_payloads
from tests.fuzz.targets import TARGETS

ROUNDS = 3


@pytest.fixture(autouse=True)
def _decoder() -> None:
    registry.freeze()


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return bytes with a few of them changed, taken out or doubled."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(changed) + 1)
        match chance.randrange(3):
            case 0:
                changed[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del changed[at : at + chance.randrange(9)]
            case _:
                changed[at:at] = changed[at : at + chance.randrange(40)]
    return bytes(changed)


@pytest.mark.parametrize("name", TARGETS)
def test_first_inputs_and_mutations_of_them(name: str) -> None:
    chance = random.Random(name)
    for data in corpus_of(name):
        TARGETS[name](data)
        for _ in range(ROUNDS):
            TARGETS[name](mutated(data, chance))


def test_there_is_a_sample_of_every_message() -> None:
    assert len(sample_payloads(registry)) == len(registry.classes)


def test_an_honest_handshake_is_finished_when_nobody_meddles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finished: list[object] = []
    hear = TARGETS["handshake"].__globals__["_hear"]

    def note(side: object, arrived: bytes) -> object:
        said = hear(side, arrived)
        finished.append(side.peer)  # type: ignore[attr-defined]
        return said

    monkeypatch.setitem(TARGETS["handshake"].__globals__, "_hear", note)
    TARGETS["handshake"](b"")

    assert [each is not None for each in finished] == [False] * 4 + [True, True]
