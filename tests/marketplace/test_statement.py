"""Statements: what moved in a period, as JSON, as CSV and on the command line."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from marketplace.models import LedgerEntry
from marketplace.services import wallet
from marketplace.states import EntryKind
from tests.support.factories import NOW, SELLER
from tests.support.web_clients import bearer_client

OTHER = "0" * 32
STATEMENT = "/api/swarm/wallet/statement"


def at(minutes: int) -> str:
    return (NOW + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")


@pytest.fixture
def moved(db: None) -> None:
    """A grant, then one movement a minute."""
    moves = [
        (EntryKind.GRANT, 100, "", ""),
        (EntryKind.HOLD, 10, SELLER, "=1+1"),
        (EntryKind.CAPTURE, 4, SELLER, "Part 1"),
        (EntryKind.RELEASE, 6, SELLER, "@not used"),
        (EntryKind.CREDIT, 5, OTHER, 'of "others", paid'),
    ]
    for minute, (kind, amount, counterparty, note) in enumerate(moves):
        wallet.move(
            wallet.Movement(
                kind=kind,
                reference=f"r{minute}",
                amount=amount,
                counterparty_node_id=counterparty,
                note=note,
            ),
            now=NOW + timedelta(minutes=minute),
        )


def get(path: str, status: int = 200, **query: Any) -> Any:
    response = bearer_client().get(path, query)
    assert response.status_code == status, response.content
    return response


def test_a_whole_statement_begins_at_nothing_and_ends_at_the_balance(moved: None) -> None:
    shown = get(STATEMENT).json()

    assert shown["opening"] == {"balance": 0, "held": 0}
    assert shown["closing"] == {"balance": 101, "held": 0}
    assert [(e["kind"], e["balance_after"], e["held_after"]) for e in shown["entries"]] == [
        ("grant", 100, 0),
        ("hold", 100, 10),
        ("capture", 96, 6),
        ("release", 96, 0),
        ("credit", 101, 0),
    ]
    assert shown["totals"] == {
        "grant": {"count": 1, "amount": 100},
        "hold": {"count": 1, "amount": 10},
        "capture": {"count": 1, "amount": 4},
        "release": {"count": 1, "amount": 6},
        "credit": {"count": 1, "amount": 5},
    }
    assert shown["truncated"] is False


def test_a_period_begins_with_its_first_moment_and_ends_before_its_last(moved: None) -> None:
    shown = get(STATEMENT, **{"from": at(1), "to": at(3)}).json()

    assert [entry["kind"] for entry in shown["entries"]] == ["hold", "capture"]
    assert (shown["opening"], shown["closing"]) == (
        {"balance": 100, "held": 0},
        {"balance": 96, "held": 6},
    )
    assert (shown["from"], shown["to"]) == (at(1), at(3))


def test_a_statement_of_one_counterparty(moved: None) -> None:
    shown = get(STATEMENT, counterparty=OTHER).json()

    assert [entry["kind"] for entry in shown["entries"]] == ["credit"]
    assert shown["totals"]["capture"] == {"count": 0, "amount": 0}


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"from": at(3), "to": at(1)}, 422),
        ({"from": "yesterday"}, 422),
        ({"from": "2026-01-01T00:00:00"}, 422),
        ({"counterparty": "nobody"}, 422),
    ],
)
def test_a_period_that_is_none_is_refused(moved: None, query: dict[str, str], status: int) -> None:
    get(STATEMENT, status, **query)
    get(f"{STATEMENT}.csv", status, **query)


def test_the_csv_has_every_entry_and_no_formula(moved: None) -> None:
    response = get(f"{STATEMENT}.csv")

    assert response["Content-Type"] == "text/csv"
    assert response["Content-Disposition"] == 'attachment; filename="statement.csv"'
    rows = list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))
    assert [(row["kind"], row["amount"], row["note"]) for row in rows] == [
        ("grant", "100", ""),
        ("hold", "10", "'=1+1"),
        ("capture", "4", "Part 1"),
        ("release", "6", "'@not used"),
        ("credit", "5", 'of "others", paid'),
    ]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_what_a_spreadsheet_takes_for_a_formula_gets_a_quote(db: None, start: str) -> None:
    wallet.move(
        wallet.Movement(kind=EntryKind.GRANT, reference="r", amount=1, note=f"{start}cmd"), now=NOW
    )

    response = get(f"{STATEMENT}.csv")

    text = b"".join(response.streaming_content).decode()
    row = next(iter(csv.DictReader(io.StringIO(text, newline=""))))
    assert row["note"] == f"'{start}cmd"


def test_the_command_prints_the_same(moved: None, tmp_path: Path) -> None:
    out = io.StringIO()
    call_command("ledger", "statement", "--from", at(1), "--to", at(3), stdout=out)
    lines = out.getvalue().splitlines()
    assert lines[0] == "opening balance 100 VOID, held 0 VOID"
    assert lines[-1] == "closing balance 96 VOID, held 6 VOID"
    assert len(lines) == 6

    file = tmp_path / "statement.csv"
    call_command("ledger", "statement", "--csv", str(file))
    assert len(file.read_text().splitlines()) == 1 + LedgerEntry.objects.count()
