"""Runs the demo in large from its first line to its exit code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from voidlux_site.demo.client import Json
from voidlux_site.demo.nodes import Nodes
from voidlux_site.demo.report import print_checks
from voidlux_site.demo.repository import create_remote
from voidlux_site.demo.scale import SUBTASKS_A_NODE, SWARM, Scale, scale_plans
from voidlux_site.demo.show import EXIT_FAILED, Show
from voidlux_site.demo.story import names_of
from voidlux_site.demo.succession_checks import run_succession_checks, silence
from voidlux_site.demo.view import view_for


@dataclass(frozen=True)
class ScaleShow(Show):
    """One performance with `count` nodes."""

    count: int = 2

    def _prepare(self, folder: Path) -> Nodes:
        return Nodes(scale_plans(self.count), folder, seneschal_of=SWARM)

    def _tell(self, nodes: Nodes, folder: Path) -> int:
        self._say("")
        self._say(
            f"One swarm of {self.count} nodes with an agent each, and {SUBTASKS_A_NODE} subtasks a "
            "node. Its emperor is killed in the middle; a browser stays at the Seneschal's address."
        )
        self._say("")
        names = names_of(nodes)
        with view_for(self.console, names) as view:
            facts = Scale(nodes, create_remote(folder), view, names).run()
        checks = run_succession_checks(facts["succession"])
        self._say("")
        for line in scale_lines(facts):
            self._say(line)
        self._say("")
        print_checks(self.console, checks)
        self._write(facts, checks)
        failed = [check.name for check in checks if not check.ok]
        self._say("")
        if failed:
            self._say(f"The demo failed: {', '.join(failed)}.", "bold red")
            return EXIT_FAILED
        self._say(f"All checks hold. It took {facts['timings']['total_s']:.0f} s.", "bold")
        return 0


def scale_lines(facts: Json) -> list[str]:
    """Return what was measured, one figure a line."""
    timings, succession = facts["timings"], facts["succession"]
    change = succession["timings"]
    memory = sorted(facts["memory_mb"].values())
    return [
        f"all {facts['nodes']} nodes up      after {timings['up_s']} s",
        f"linked, one emperor  after {timings['linked_s']} s",
        f"work                 {facts['subtasks']} subtasks in {change['goal_s']} s, "
        f"{timings['tasks_per_minute']} a minute, the change of emperor included",
        f"another emperor      {change['vacant_s']} s after the kill",
        f"the killed node      followed {change['back_s']} s after it was started",
        f"the browser          {silence(succession)}",
        f"memory a node        {memory[0]} to {memory[-1]} MB with its worker and what it shares",
    ]
