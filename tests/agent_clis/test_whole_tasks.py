"""A goal from queue to verified commit by each real program, its dialogs answered over the API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from swarm.git.command import run_git
from tests.support.agent_homes import KEY, AgentNode, set_up
from tests.support.agent_scripts import CLAUDE, CODEX, CONTENT, OPENCODE, SUMMARY
from tests.support.deals import ENDED, UNITTEST, small_repository
from tests.support.git_remote import GitRemote
from tests.support.model_server.script import Step
from tests.support.model_server.server import ModelServer, running_model
from tests.support.waiting import wait_for

END_S = 150.0
GOAL = """# Greet

- [ ] Write the greeting
  Write greeting.py with a constant GREETING.
"""


@dataclass
class Person:
    """Answers the dialogs of an agent as `explain` shows them, each with its first choice."""

    node: AgentNode
    agent_id: str
    answered: dict[str, list[str]] = field(default_factory=dict)
    states: list[str] = field(default_factory=list)

    def look(self) -> None:
        """Answer the dialog that is open now, if any."""
        shown = self.node.get(f"/agents/{self.agent_id}/explain")
        if self.states[-1:] != [state := f"{shown['status']} {shown['rule']}"]:
            self.states.append(state)
        if shown["status"] != "blocked":
            return
        dialog = shown["dialog"]
        if dialog is None:
            return  # announced by the tool's hook, and not drawn yet
        choices = [choice["name"] for choice in dialog["choices"]]
        body = {"dialog": dialog["name"], "id": dialog["id"], "choice": choices[0]}
        response = self.node.api.post(f"/agents/{self.agent_id}/dialog", json=body)
        if response.status_code == 409:
            return  # it has closed since it was shown
        assert response.json()["closed"] is True, f"{response.json()}\n{shown['screen']}"
        self.answered[dialog["name"]] = choices


@dataclass
class Story:
    """A node with one agent of a real program, and a model that plays for it."""

    node: AgentNode
    model: ModelServer
    remote: GitRemote
    person: Person

    async def ended(self) -> dict[str, Any]:
        """Submit the goal, answer dialogs, and return the goal when it has ended."""
        body = {
            "description": GOAL,
            "repository": str(self.remote.path),
            "test_command": UNITTEST,
        }
        goal_id = self.node.post("/tasks", body)["id"]

        def look() -> dict[str, Any] | None:
            assert self.model.errors == [], self.report()
            self.person.look()
            goal: dict[str, Any] = self.node.get(f"/tasks/{goal_id}")
            return goal if goal["status"] in ENDED else None

        try:
            return await wait_for(look, END_S)
        except AssertionError as failure:
            raise AssertionError(f"{failure}\n{self.report()}") from None

    def report(self) -> str:
        """Return what is known of the agent and of what its model was asked."""
        shown = self.node.get(f"/agents/{self.person.agent_id}/explain")
        results = [turn.results for turn in self.model.turns][-1:]
        told = [self.person.states, self.model.errors, results, shown["considered"]]
        return "\n".join([*map(str, told), *shown["screen"]])


MakeStory = Callable[[str, list[Step]], Story]


@pytest.fixture
def make_story(tmp_path: Path, programs: Path) -> Iterator[MakeStory]:
    """Return a function that starts a node with an agent of a tool whose model plays a script."""
    with ExitStack() as stack:

        def make(tool: str, script: list[Step]) -> Story:
            model = stack.enter_context(running_model(script))
            node = AgentNode(tmp_path / "node", programs)
            stack.callback(node.end)
            set_up(tool, node.home, model.url)
            node.start()
            agent = node.post("/agents", {"name": tool, "tool": tool})
            remote = small_repository(tmp_path / "git")
            return Story(node, model, remote, Person(node, agent["id"]))

        yield make


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("tool", "script", "answered"),
    [
        (
            "claude",
            CLAUDE,
            {
                "trust_folder": ["yes", "no"],
                "api_key": ["yes", "no"],
                "permission": ["yes", "always", "no"],
            },
        ),
        (
            "codex",
            CODEX,
            {"trust_folder": ["yes", "no"], "permission": ["yes", "always", "no"]},
        ),
        ("opencode", OPENCODE, {"permission": ["yes", "always", "no"]}),
    ],
    ids=["claude", "codex", "opencode"],
)
async def test_a_task_from_queue_to_verified_commit(
    make_story: MakeStory, tool: str, script: list[Step], answered: dict[str, list[str]]
) -> None:
    story = make_story(tool, script)

    goal = await story.ended()

    assert goal["status"] == "completed", f"{goal['error']}\n{story.report()}"
    assert (story.model.errors, story.model.keys) == ([], {KEY})
    assert story.person.answered == answered
    [task] = story.node.items(f"/tasks/{goal['id']}/subtasks")
    assert (task["attempt"], task["result"]) == (1, SUMMARY)
    assert task["commit"] == story.model.turns[-1].commit
    made = f"{goal['integration_commit']}:greeting.py"
    assert run_git(["show", made], cwd=story.remote.path).stdout == CONTENT
    written = run_git(["log", "-1", "--format=%an %s", task["commit"]], cwd=story.remote.path)
    assert written.stdout == "Test Add the greeting\n"
