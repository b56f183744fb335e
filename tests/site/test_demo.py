"""The demo as a user runs it: real nodes, checked facts, and nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from swarm.clean_env import clean_environment

PROJECT_DIR = Path(__file__).resolve().parents[2]
DEMO_WITHIN_S = 240.0

StartDemo = Callable[..., subprocess.Popen[str]]

pytestmark = [
    pytest.mark.processes,
    pytest.mark.timeout(360),
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
    pytest.mark.faults,
]


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder for the demo's temporary files, short enough for the sockets in it."""
    with tempfile.TemporaryDirectory(prefix="vl-") as folder:
        yield Path(folder).resolve()


@pytest.fixture
def start_demo(temporary: Path) -> Iterator[StartDemo]:
    """Starts the demo with its temporary files in the folder; ends what a failed test left."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        demo = subprocess.Popen(
            [sys.executable, "manage.py", "demo", *arguments],
            cwd=PROJECT_DIR,
            # The variables of the caller's own node are none of the demo's business.
            env=clean_environment({"TMPDIR": str(temporary), "VOIDLUX_AGENTS": "7"}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(demo)
        return demo

    yield start
    for demo in started:
        if demo.poll() is None:
            end(demo, signal.SIGINT)


def processes_of(temporary: Path) -> list[str]:
    """Every process whose command or environment names the folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            text = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if str(temporary).encode() in text:
            found.append(entry.name)
    return found


def lines_until(demo: subprocess.Popen[str], words: str) -> list[str]:
    """Read the demo's output up to the line with `words`; it ends by the test's time limit."""
    assert demo.stdout is not None
    read = []
    for line in demo.stdout:
        read.append(line)
        if words in line:
            return read
    raise AssertionError(f"{words!r} was not said:\n{''.join(read)}")


def end(demo: subprocess.Popen[str], number: int) -> int:
    os.kill(demo.pid, number)
    demo.communicate(timeout=DEMO_WITHIN_S)
    return demo.returncode


def test_the_demo_proves_a_trade_and_keeps_its_nodes_until_an_interrupt(
    temporary: Path, start_demo: StartDemo
) -> None:
    report = temporary / "facts.json"
    demo = start_demo("--keep", "--json", str(report))
    told = lines_until(demo, "Dashboards")
    links = [lines_until(demo, "/login/")[-1].split()[-1] for _ in range(4)]

    with httpx.Client(trust_env=False, follow_redirects=True, timeout=20) as browser:
        pages = [browser.get(link) for link in links]
    code = end(demo, signal.SIGINT)

    output = "".join(told)
    assert "\x1b" not in output
    assert "FAILED" not in output
    facts = json.loads(report.read_text())
    assert facts["ok"]
    assert {check["name"] for check in facts["checks"] if check["ok"]} == {
        *("goal", "tests", "merged", "bisection", "conflict", "question", "crash", "hired"),
        *("rejected", "expired", "partial", "agreement", "payments", "money", "statements"),
        *("verified", "work", "quiet", "emperor", "taken over", "shown", "once", "fence"),
        *("session", "live", "kept"),
    }
    assert_the_story(facts)
    assert [page.status_code for page in pages] == [200, 200, 200, 200]
    assert "Telemetry report for the probe" in pages[0].text
    assert "Flight plan for the next probe" in pages[3].text
    assert code == 0
    assert processes_of(temporary) == []
    assert sorted(path.name[:13] for path in temporary.iterdir()) == ["facts.json", "voidlux-demo-"]


def assert_the_story(facts: dict) -> None:  # type: ignore[type-arg]
    buyer, *sellers, stranger = facts["nodes"]
    bought = sum(tribute["total_cost"] for tribute in buyer["tributes"])
    median = facts["subtasks"][1]
    earned = sum(node["wallet"]["balance"] - 1000 for node in sellers)
    assert [task["status"] for task in facts["subtasks"]] == ["completed"] * 7
    assert (median["title"], median["attempt"], len(median["runs"])) == ("Mean and median", 2, 2)
    assert median["runs"][0]["outcome"].startswith("the tests turned red")
    assert facts["remote"]["tests"]["tests_ran"] == 12
    assert facts["remote"]["head"] == facts["goal"]["merged_commit"]
    assert {entry["author"] for entry in facts["remote"]["log"]} >= {
        "VoidLux gate",
        f"helios-{buyer['node_id'][:6]}-1",
    }
    assert (buyer["agents"], [node["agents"] for node in sellers]) == (1, [3, 2])
    assert buyer["wallet"] == {
        "balance": 1000 - earned,
        "held": 0,
        "available": 1000 - earned,
        "overdrawn": 0,
        "currency": "VOID",
    }
    assert earned > 0
    totals = {kind: each["amount"] for kind, each in buyer["statement"]["totals"].items()}
    assert totals == {
        "grant": 1000,
        "hold": bought,
        "release": bought - earned,
        "capture": earned,
        "credit": 0,
    }
    assert (stranger["name"], stranger["agents"], stranger["wallet"]["balance"]) == (
        "vega",
        1,
        1000,
    )
    assert [each["reason_code"] for each in stranger["tributes"]] == ["not_allowed"]
    assert {node["name"]: node["verified"]["exit_code"] for node in facts["nodes"]} == {
        "helios": 0,
        "andromeda": 0,
        "andromeda-2": 0,
        "vega": 0,
    }
    assert_the_succession(facts["succession"])


def assert_the_succession(facts: dict) -> None:  # type: ignore[type-arg]
    [goal] = facts["goals"]
    killed, [heir] = (
        facts["killed"],
        [each for each in facts["members"] if each["node_id"] != facts["killed"]["node_id"]],
    )
    assert goal["title"] == "Flight plan for the next probe"
    assert [task["status"] for task in goal["subtasks"]] == ["completed"] * 4
    assert killed["merged"] != []
    assert killed["at_work"] != []
    assert (heir["standing"], heir["emperor"]) == ("emperor", heir["node_id"])
    assert heir["term"] > killed["term"]
    assert len(goal["remote"]["merges"]) == 4


def test_an_interrupted_demo_ends_everything(temporary: Path, start_demo: StartDemo) -> None:
    demo = start_demo()
    lines_until(demo, "claimed")
    running = processes_of(temporary)

    code = end(demo, signal.SIGINT)

    assert len(running) > 3
    assert code == 130
    assert processes_of(temporary) == []
    assert list(temporary.iterdir()) == []


def test_a_killed_demo_leaves_no_node_running(temporary: Path, start_demo: StartDemo) -> None:
    demo = start_demo()
    lines_until(demo, "nodes are up")

    end(demo, signal.SIGKILL)

    wait_until_no_node(temporary)


def wait_until_no_node(temporary: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        nodes = [pid for pid in processes_of(temporary) if is_node(pid)]
        if not nodes:
            break
        time.sleep(0.1)
    for pid in processes_of(temporary):
        os.kill(int(pid), signal.SIGKILL)  # terminals outlive their node by design
    assert nodes == []


def is_node(pid: str) -> bool:
    try:
        return b"runnode" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_a_node_that_dies_fails_the_demo_with_its_log(
    temporary: Path, start_demo: StartDemo
) -> None:
    demo = start_demo()
    lines_until(demo, "claimed")
    os.kill(int(next(pid for pid in processes_of(temporary) if is_node(pid))), signal.SIGKILL)

    output, _ = demo.communicate(timeout=DEMO_WITHIN_S)

    assert demo.returncode == 1
    assert "The demo failed: node " in output
    assert "its log ends:" in output
    assert "Logs and databases are kept" in output
    assert [path.name[:13] for path in temporary.iterdir()] == ["voidlux-demo-"]
    assert processes_of(temporary) == []


def test_a_wrong_json_path_is_refused_before_anything_starts(
    temporary: Path, start_demo: StartDemo
) -> None:
    demo = start_demo("--json", str(temporary / "missing" / "facts.json"))

    output, _ = demo.communicate(timeout=60)

    assert demo.returncode == 1
    assert "there is no such directory" in output
    assert list(temporary.iterdir()) == []
