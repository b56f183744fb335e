"""Runs the demo from its first line to its exit code, and leaves nothing running."""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.text import Text

from p2p.protocol.errors import VoidLuxError
from voidlux_site.demo.check import Check
from voidlux_site.demo.checks import run_checks
from voidlux_site.demo.client import Json
from voidlux_site.demo.nodes import Nodes
from voidlux_site.demo.report import print_checks, print_report, verdict
from voidlux_site.demo.repository import create_remote
from voidlux_site.demo.story import ORDERS, PLANS, SENESCHAL_OF, Story, names_of
from voidlux_site.demo.succession_checks import run_succession_checks
from voidlux_site.demo.succession_report import print_succession, succession_verdict
from voidlux_site.demo.view import view_for

EXIT_FAILED = 1
EXIT_MISSING_TOOL = 2
EXIT_SIGNAL_BASE = 128
TOOLS = ("git", "tmux", "python3")
END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(BaseException):
    """A signal asked the demo to end; not an Exception, so that nothing takes it for a failure."""

    def __init__(self, number: int) -> None:
        """Take the signal's number."""
        super().__init__(number)
        self.number = number


@dataclass(frozen=True)
class Show:
    """One performance: where it is told, where its facts go, and whether it stays up after."""

    console: Console
    json_path: Path | None = None
    keep: bool = False

    def run(self) -> int:
        """Perform and return the exit code: 0, 1 (failed), 2 (a tool is missing), 128 + signal."""
        missing = [tool for tool in TOOLS if shutil.which(tool) is None]
        if missing:
            self._say(f"The demo needs {', '.join(missing)}: install it and run it again.")
            return EXIT_MISSING_TOOL
        folder = Path(tempfile.mkdtemp(prefix="voidlux-demo-")).resolve()
        with _signals_raise():
            code = self._perform(folder)
        if code == 0 and not self.keep:
            shutil.rmtree(folder, ignore_errors=True)
        elif code < EXIT_SIGNAL_BASE:
            self._say(f"Logs and databases are kept: {folder}/<node>/logs/")
        else:
            shutil.rmtree(folder, ignore_errors=True)
        return code

    def _perform(self, folder: Path) -> int:
        nodes = self._prepare(folder)
        code = 0
        try:
            code = self._tell(nodes, folder)
            if self.keep:
                self._stay(nodes)
        except VoidLuxError as error:
            self._say(f"The demo failed: {error}", "bold red")
            code = EXIT_FAILED
        except Ended as ended:
            self._say("Interrupted.")
            code = EXIT_SIGNAL_BASE + ended.number
        finally:
            troubles = self._stop(nodes)
        return code or (EXIT_FAILED if troubles else 0)

    def _prepare(self, folder: Path) -> Nodes:
        return Nodes(PLANS, folder, seneschal_of=SENESCHAL_OF)

    def _tell(self, nodes: Nodes, folder: Path) -> int:
        names = names_of(nodes)
        self._introduce(nodes)
        remote = create_remote(folder)
        with view_for(self.console, names) as view:
            facts = Story(nodes, remote, view, folder).run()
        succession = facts["succession"]
        checks = [*run_checks(facts), *run_succession_checks(succession)]
        print_report(self.console, facts, names)
        print_succession(self.console, succession, names)
        self.console.print()
        print_checks(self.console, checks)
        self._write(facts, checks)
        good = all(check.ok for check in checks)
        self.console.print()
        self._say(verdict(facts, checks), "bold" if good else "bold red")
        if good:
            self._say(succession_verdict(succession), "bold")
            self._say(f"It took {facts['timings']['total_s']:.0f} s.", "dim")
        return 0 if good else EXIT_FAILED

    def _introduce(self, nodes: Nodes) -> None:
        lines = [
            "",
            "Four nodes on this machine, each with a home, a key and a wallet of its own:",
        ]
        for node in nodes.all:
            plan = node.plan
            agents = f"{plan.agents} agent{'s' if plan.agents > 1 else ''}"
            price = f", for sale at {plan.price} VOID a task" if plan.sells else ""
            lines.append(f"  {plan.name:<12} {node.node_id[:8]}  {plan.part}: {agents}{price}")
        buyer, hired = nodes.buyer.plan.name, sum(ORDERS.values())
        lines += [
            "  seneschal              the one address of swarm andromeda, whoever leads it",
            "",
            f"First act: {buyer} has a goal of seven subtasks and one agent, so it hires {hired} "
            "more from a swarm that it does not own.",
            "It pays only for work that its own merge gate has merged, tested and pushed; what it "
            "does not need it gives back.",
            "On the way an agent asks the operator, another one is killed at its work, and vega, "
            "which sells only to nodes that it knows, refuses and is then killed as a whole.",
            "Second act: swarm andromeda has a goal of its own, and its emperor, the node that "
            "leads the swarm, is killed in the middle of it.",
            "The other node has to take over and finish, while a browser at the Seneschal's "
            "address stays logged in.",
            "",
        ]
        for line in lines:
            self._say(line)

    def _stay(self, nodes: Nodes) -> None:
        self.console.print()
        self._say("Dashboards (each link logs in once, within ten minutes):")
        for node in nodes.running:
            self._say(f"  {node.plan.name:<12} {node.login_link()}")
        if nodes.seneschal is not None:
            link = nodes.members[0].login_link(at=nodes.seneschal.url)
            self._say(f"  {'seneschal':<12} {link}")
        self._say("The nodes keep running until Ctrl-C.")
        try:
            while True:
                nodes.require_alive()
                threading.Event().wait(1.0)
        except Ended as ended:
            if ended.number != signal.SIGINT:
                raise

    def _stop(self, nodes: Nodes) -> list[str]:
        # A second Ctrl-C must not leave processes behind; stopping is bounded in time anyway.
        for number in END_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        troubles = nodes.stop()
        for trouble in troubles:
            self._say(f"FAILED  {trouble}", "bold red")
        if not troubles:
            self._say("All processes have ended.", "dim")
        return troubles

    def _write(self, facts: Json, checks: list[Check]) -> None:
        if self.json_path is None:
            return
        told = {
            **facts,
            "checks": [check.as_json() for check in checks],
            "ok": all(check.ok for check in checks),
        }
        self.json_path.write_text(json.dumps(told, indent=2) + "\n", "utf-8")

    def _say(self, line: str, style: str = "") -> None:
        self.console.print(Text(line, style), soft_wrap=True)


@contextmanager
def _signals_raise() -> Iterator[None]:
    """Turn the signals that end a program into Ended, and put everything back at the end."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Ended(number)

    before = {number: signal.signal(number, end) for number in END_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
