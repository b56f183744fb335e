"""`manage.py submit`: gives a goal to the running node and follows it to its end."""

from __future__ import annotations

import json
import sys
import time
from argparse import BooleanOptionalAction
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.text import Text

from p2p.protocol.errors import VoidLuxError
from voidlux_site.demo.client import Json, NodeClient
from voidlux_site.demo.following import Follower, Snapshot
from voidlux_site.demo.local import names_at, running_node
from voidlux_site.demo.view import view_for

LOOK_EVERY_S = 0.5
EXIT_NOT_COMPLETED = 1
EXIT_INTERRUPTED = 130


class Command(BaseCommand):
    """Submits a goal file over the API of this home's node, with a live progress view."""

    help = (
        "Submit a goal to the running node of VOIDLUX_HOME and follow it until it has ended. The "
        "file is an outline: a Markdown checklist whose entries become subtasks (see the README). "
        "Without a checklist a planner makes the subtasks (docs/planning.md). "
        "Exit code 0 means that the goal is completed: merged, tested and pushed. Ctrl-C ends the "
        "watching, not the goal."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the goal and how it is proved."""
        parser.add_argument("file", help="the outline of the goal; - reads it from standard input")
        parser.add_argument(
            "--repository", required=True, metavar="URL", help="URL or path of the git remote"
        )
        parser.add_argument("--base-branch", default="", help="default: the remote's own")
        parser.add_argument(
            "--test-command",
            help="run by the gate on every merge; decides the goal (default: the node's own)",
        )
        parser.add_argument("--title", default="", help="default: the outline's heading")
        parser.add_argument("--priority", type=int, default=0, help="from -100 to 100")
        parser.add_argument(
            "--auto-merge",
            action=BooleanOptionalAction,
            help="merge its pull request when the checks are green (default: as the node is set)",
        )
        parser.add_argument(
            "--approve-plan",
            dest="plan_approval",
            action=BooleanOptionalAction,
            help="let the plan of a goal without a checklist wait for your approval, on the "
            "dashboard or over the API (default: as the node is set)",
        )
        parser.add_argument(
            "--json", action="store_true", help="print the goal as JSON, the progress to stderr"
        )
        parser.add_argument("--no-wait", action="store_true", help="submit and return")

    def handle(self, *args: Any, **options: Any) -> None:
        """Submit, follow and end with the exit code; refusals are one line."""
        body = _body(options)
        api = running_node()
        try:
            goal = api.post("/tasks", body)
            if not options["no_wait"]:
                goal = self._follow(api, goal, to_stderr=options["json"])
            self._tell(api, goal, as_json=options["json"])
        except VoidLuxError as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            self.stderr.write(f"Goal {goal['id']} goes on; `manage.py status` shows it.")
            sys.exit(EXIT_INTERRUPTED)
        finally:
            api.close()
        if not options["no_wait"] and goal["status"] != "completed":
            sys.exit(EXIT_NOT_COMPLETED)

    def _follow(self, api: NodeClient, goal: Json, *, to_stderr: bool) -> Json:
        names = names_at(api)
        created_at = datetime.fromisoformat(goal["created_at"])
        own = names.node(goal["emperor_node_id"])
        follower = Follower(goal["id"], [(own, api)], names, created_at)
        with view_for(Console(stderr=to_stderr, highlight=False), names) as view:
            view.say(f"goal {goal['id']} is submitted: {goal['title']}", _age_s(created_at))
            while True:
                snapshot: Snapshot = follower.poll()
                view.show(snapshot)
                if snapshot.ended:
                    return snapshot.goal
                time.sleep(LOOK_EVERY_S)

    def _tell(self, api: NodeClient, goal: Json, *, as_json: bool) -> None:
        if as_json:
            subtasks = api.items(f"/tasks/{goal['id']}/subtasks")
            self.stdout.write(json.dumps({**goal, "subtasks": subtasks}, indent=2))
            return
        outcome = goal["error"] or goal["result"]
        line = f"{goal['id']} {goal['status']}{f': {outcome}' if outcome else ''}"
        Console(highlight=False).print(Text(line), soft_wrap=True)


def _body(options: dict[str, Any]) -> Json:
    names = ("base_branch", "test_command", "title", "priority", "auto_merge")
    asked = options["plan_approval"]
    return {
        **({} if asked is None else {"plan_approval": "approve" if asked else "auto"}),
        "description": _read(options["file"]),
        "repository": _absolute(options["repository"]),
        **{name: options[name] for name in names if options[name] is not None},
    }


def _read(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{name} cannot be read: {error}") from error


def _absolute(repository: str) -> str:
    """Return a path of this machine as the node sees it, which may run in another folder."""
    path = Path(repository).expanduser()
    return str(path.resolve()) if path.is_dir() else repository


def _age_s(moment: datetime) -> float:
    return (datetime.now(UTC) - moment).total_seconds()
