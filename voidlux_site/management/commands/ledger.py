"""`manage.py ledger`: a statement of the wallet, and a proof that its books add up."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from marketplace.services.statement import Period, statement, statement_csv
from marketplace.services.verifying import Findings, verify
from p2p.protocol.errors import VoidLuxError
from p2p.registration import registry

EXIT_DIFFERENCE = 1


class Command(BaseCommand):
    """Reads the ledger in this home's database; the node may run or not."""

    help = (
        "`ledger statement` prints what moved in the wallet of VOIDLUX_HOME. `ledger verify` "
        "recomputes every balance from the entries, checks the signed frames behind every "
        "payment and every deal, and names the first difference; its exit code is 0 when the "
        "books add up and 1 when they do not. Both only read the database."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the two subcommands."""
        commands = parser.add_subparsers(dest="what", required=True)
        shown = commands.add_parser("statement", help="what moved, with opening and closing")
        shown.add_argument("--from", dest="since", type=_moment, metavar="TIME")
        shown.add_argument("--to", dest="until", type=_moment, metavar="TIME")
        shown.add_argument("--counterparty", default="", metavar="NODE_ID")
        shown.add_argument("--csv", metavar="FILE", help="write it as CSV; - for standard output")
        shown.add_argument("--json", action="store_true")
        verified = commands.add_parser("verify", help="recompute everything from its evidence")
        verified.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the subcommand; refusals are one line."""
        registry.freeze()
        try:
            if options["what"] == "verify":
                self._verify(as_json=options["json"])
            else:
                self._statement(options)
        except VoidLuxError as error:
            raise CommandError(str(error)) from error

    def _verify(self, *, as_json: bool) -> None:
        findings = verify()
        text = json.dumps(findings.as_json(), indent=2) if as_json else _in_words(findings)
        self.stdout.write(text)
        if findings.difference is not None:
            sys.exit(EXIT_DIFFERENCE)

    def _statement(self, options: dict[str, Any]) -> None:
        period = Period(
            since=options["since"], until=options["until"], counterparty=options["counterparty"]
        )
        if options["csv"]:
            self._write_csv(options["csv"], period)
        elif options["json"]:
            self.stdout.write(json.dumps(statement(period), indent=2))
        else:
            self.stdout.write(_as_table(statement(period)))

    def _write_csv(self, name: str, period: Period) -> None:
        if name == "-":
            for line in statement_csv(period):
                self.stdout.write(line, ending="")
            return
        try:
            with Path(name).open("w", encoding="utf-8", newline="") as file:
                file.writelines(statement_csv(period))
        except OSError as error:
            raise CommandError(f"{name} cannot be written: {error}") from error


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _in_words(findings: Findings) -> str:
    lines = []
    if findings.difference is not None:
        lines.append(f"The books do not add up: {findings.difference}.")
    else:
        lines.append(
            f"The books add up: {findings.entries} entries, {findings.payments} payments, "
            f"{findings.tributes} tributes; balance {findings.balance} VOID, "
            f"held {findings.held} VOID."
        )
    if findings.overdrawn:
        lines.append(
            f"Overdrawn by {findings.overdrawn} VOID: promised before a backup was restored; "
            "later income covers it first."
        )
    return "\n".join(lines)


def _as_table(shown: dict[str, Any]) -> str:
    opening, closing = shown["opening"], shown["closing"]
    lines = [f"opening balance {opening['balance']} VOID, held {opening['held']} VOID"]
    lines += [
        f"{entry['created_at']}  {entry['kind']:<8} {entry['amount']:>8}  "
        f"balance {entry['balance_after']:>8}  held {entry['held_after']:>8}  "
        f"{entry['counterparty_node_id'][:8] or '-':<8}  {entry['note']}"
        for entry in shown["entries"]
    ]
    if shown["truncated"]:
        lines.append("… there are more: narrow the period, or write it as CSV")
    lines += [
        f"{kind}: {total['count']} × together {total['amount']} VOID"
        for kind, total in shown["totals"].items()
        if total["count"]
    ]
    lines.append(f"closing balance {closing['balance']} VOID, held {closing['held']} VOID")
    return "\n".join(lines)
