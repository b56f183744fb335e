"""The statements of those who traded, as tables: every entry with the balance after it."""

from __future__ import annotations

from datetime import datetime

from rich.table import Table
from rich.text import Text

from voidlux_site.demo.client import Json
from voidlux_site.demo.money_checks import adds_up
from voidlux_site.demo.names import Names

WORDS = {
    "grant": "granted",
    "hold": "held",
    "release": "given back",
    "capture": "paid",
    "credit": "earned",
}
SIGNS = {"grant": "+", "credit": "+", "capture": "-"}
NUMBERS = ("VOID", "Balance", "Held")


def traders(facts: Json) -> list[Json]:
    """Return the nodes whose wallet moved after its grant."""
    return [node for node in facts["nodes"] if len(node["statement"]["entries"]) > 1]


def statement_table(node: Json, names: Names) -> Table:
    """Return one row per entry, oldest first; only what is signed changes the balance."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("Time", "Entry", "With", "For"):
        table.add_column(name, header_style="dim", overflow="fold")
    for name in NUMBERS:
        table.add_column(name, header_style="dim", justify="right")
    for entry in node["statement"]["entries"]:
        with_whom = entry["counterparty_node_id"]
        table.add_row(
            Text(f"{datetime.fromisoformat(entry['created_at']):%H:%M:%S}", "dim"),
            WORDS[entry["kind"]],
            Text(names.node(with_whom) if with_whom else ""),
            Text(entry["note"]),
            f"{SIGNS.get(entry['kind'], '')}{entry['amount']}",
            Text(str(entry["balance_after"]), "bold"),
            str(entry["held_after"]),
        )
    return table


def sum_line(node: Json) -> str:
    """Return one line that adds a statement up to its closing balance and hold."""
    shown = node["statement"]
    sums = {kind: total["amount"] for kind, total in shown["totals"].items()}
    closing = shown["closing"]
    balance = "".join(
        f" {SIGNS[kind]} {sums[kind]} {WORDS[kind]}" for kind in ("credit", "capture") if sums[kind]
    )
    line = f"{sums['grant']} granted{balance} = {closing['balance']} VOID"
    if sums["hold"]:
        line += f"; {sums['hold']} held = {sums['capture']} paid + {sums['release']} given back"
        line += f" + {closing['held']} still held"
    return f"{'It adds up' if adds_up(shown) else 'It does NOT add up'}: {line}."
