"""What a shell block says to its node with the command that it is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.processes.conftest import MakeNode
from tests.support.deals import Deal, small_repository, submit
from tests.support.waiting import wait_for

ASK = """sh "$VOIDLUX_SAY" progress 'reads the code'
  sh "$VOIDLUX_SAY" ask ' ' 2> refusal.txt || test $? = 1
  answer=$(sh "$VOIDLUX_SAY" ask 'Tabs or spaces?' tabs spaces)
  echo "$answer" > answer.txt"""


async def test_a_block_asks_and_goes_on_with_the_answer_after_a_crash_of_its_node(
    make_node: MakeNode, tmp_path: Path
) -> None:
    node = make_node("node", agents="1").start()
    remote = small_repository(tmp_path / "git")
    deal = await submit(node, remote.path, ASK)
    asked = await wait_for(lambda: question_of(deal))
    assert (asked["text"], asked["choices"]) == ("Tabs or spaces?", ["tabs", "spaces"])
    node.kill9()
    await wait_for(lambda: node.processes() == {})
    node.start()

    node.post(f"/tasks/{deal.subtasks()[0]['id']}/answer", {"text": "four spaces"})

    assert (await deal.ended())["status"] == "completed"
    [task] = deal.subtasks()
    assert (task["attempt"], task["question"]["answer"]) == (1, "four spaces")
    assert remote.text(task["commit"], "answer.txt") == "four spaces\n"
    assert remote.text(task["commit"], "refusal.txt") == "empty: question is empty\n"
    assert [target for target, _ in deal.reasons()][2:6] == [
        "in_progress",
        "waiting_input",
        "waiting_input",
        "in_progress",
    ]


def question_of(deal: Deal) -> dict[str, Any] | None:
    """The open question of the first subtask."""
    asked: dict[str, Any] | None = deal.subtasks()[0]["question"]
    return asked if asked is not None and asked["open"] else None
