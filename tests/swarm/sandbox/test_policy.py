"""What a node says of its isolation before anything is bought or sold."""

from __future__ import annotations

import pytest

from swarm.sandbox import bwrap, can_test_strangers, isolation_of_sold_work, may_sell
from tests.support.services import find_program
from tests.swarm.sandbox.conftest import Environment


def test_where_bwrap_works_all_is_possible(environment: Environment) -> None:
    find_program(bwrap.PROGRAM)
    environment(sell_without_sandbox="0")

    assert isolation_of_sold_work() == "sandbox"
    assert may_sell()
    assert can_test_strangers() is None


@pytest.mark.parametrize(("program", "why"), [("no-such-bwrap", "not installed"), ("false", "()")])
def test_without_a_usable_bwrap_settings_decide(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, program: str, why: str
) -> None:
    monkeypatch.setattr(bwrap, "PROGRAM", program)

    refusal = can_test_strangers()
    assert refusal is not None and refusal.code == "no_sandbox" and why in str(refusal)
    assert (isolation_of_sold_work(), may_sell()) == ("worktree", True)
    environment(sell_without_sandbox="0", unsafe_test_without_sandbox="1")
    assert not may_sell()
    assert can_test_strangers() is None


def test_the_machine_is_probed_once_by_each_process(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[list[str]] = []

    def look(argv: list[str], _: object) -> str:
        tried.append(argv)
        return ""

    monkeypatch.setattr(bwrap, "PROGRAM", "another-bwrap")
    monkeypatch.setattr(bwrap, "why_not", look)

    assert [isolation_of_sold_work() for _ in range(3)] == ["sandbox"] * 3
    assert [argv[0] for argv in tried] == ["another-bwrap"]
