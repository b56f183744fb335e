"""Two real members behind one address: a browser stays logged in, and writes reach the emperor."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from tests.processes.conftest import MakeNode
from tests.support.nodes import ROOT, RealNode, start_all
from tests.support.one_address import OneAddress, one_address
from tests.support.waiting import wait_for

SECRET = "a secret of sixteen or more"
OUTLINE = "# Wait\n- [ ] For an agent that nobody has\n  needs: patience\n  ```sh\n  true\n  ```\n"


@pytest.fixture
def members(make_node: MakeNode) -> tuple[RealNode, RealNode]:
    """An emperor and a worker that know each other."""
    emperor = make_node("emperor", worker=False, swarm="helios", auth_secret=SECRET, role="emperor")
    worker = make_node(
        "worker",
        worker=False,
        swarm="helios",
        auth_secret=SECRET,
        role="worker",
        seeds=emperor.address,
    )
    start_all(emperor, worker)
    return emperor, worker


@pytest.fixture
def address(members: tuple[RealNode, RealNode]) -> Iterator[OneAddress]:
    """The address of both, which leads to the worker at first."""
    with one_address(members[1]) as made:
        yield made


def login_link(node: RealNode, at: str) -> str:
    """Return a link as an operator asks for it who knows the home and not the secret."""
    environment = node.environment()
    del environment["VOIDLUX_AUTH_SECRET"]
    command = [sys.executable, "manage.py", "loginlink", "--at", at]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def browser_of(address: OneAddress, token: str = "") -> httpx.Client:
    headers = {"Origin": address.url, "HX-Request": "true", "X-CSRFToken": token}
    # A browser opens connections anew as they are cut.
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.Client(base_url=address.url, headers=headers, limits=limits, timeout=30)


async def test_a_browser_stays_logged_in_while_the_address_changes_hands(
    members: tuple[RealNode, RealNode], address: OneAddress, tmp_path: Path
) -> None:
    emperor, worker = members
    await wait_for(lambda: (worker.get("/status")["emperor"] or {}).get("address"))
    browser = browser_of(address)
    link = login_link(worker, address.url)
    assert link.startswith(f"{address.url}/login/")
    assert browser.get(link).headers["Location"] == "/"
    token = re.search(r'X-CSRFToken": "(\w+)"', browser.get("/").text)
    assert token is not None
    browser.headers["X-CSRFToken"] = token[1]

    # At the worker: a goal, which the emperor makes.
    goal = {"description": OUTLINE, "repository": str(tmp_path / "nowhere.git")}
    made = browser.post("/goals/new", data=goal)
    assert (made.status_code, emperor.items("/tasks")[0]["title"]) == (204, "Wait")
    assert json.loads(made.headers["HX-Trigger"])["voidlux:saved"]["message"] == "Wait is submitted"
    [wanted] = emperor.items("/tasks")
    await wait_for(lambda: [each["id"] for each in worker.items("/tasks")] == [wanted["id"]])

    # At the emperor, with the same cookie and the same page.
    address.lead_to(emperor)
    assert browser.get("/").status_code == 200
    page = f"/tasks/{UUID(wanted['id'])}"
    cancelled = browser.post(f"{page}/cancel")
    assert (cancelled.status_code, emperor.items("/tasks")[0]["status"]) == (204, "cancelled")
    assert browser.get("/api/swarm/status").json()["node_id"] == emperor.node_id
    browser.headers["Origin"] = "http://evil.example"
    assert browser.post(f"{page}/archive").status_code == 403


async def test_tokens_are_one_and_a_lost_emperor_is_said(
    members: tuple[RealNode, RealNode], tmp_path: Path
) -> None:
    emperor, worker = members
    tokens = {(node.home / "api-token").read_text() for node in members}
    assert len(tokens) == 1
    await wait_for(lambda: (worker.get("/status")["emperor"] or {}).get("address"))
    goal = {"description": OUTLINE, "repository": str(tmp_path / "nowhere.git")}
    key = {"Idempotency-Key": "once"}
    first = worker.api.post("/tasks", json=goal, headers=key)
    second = emperor.api.post("/tasks", json=goal, headers=key)
    assert (first.status_code, second.json()["id"]) == (201, first.json()["id"])
    assert len(emperor.items("/tasks")) == 1

    emperor.kill9()

    refused = worker.api.post("/tasks", json=goal)
    assert (refused.status_code, refused.json()["code"]) == (503, "emperor_unreachable")
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert f"at http://127.0.0.1:{emperor.http_port} cannot be reached" in refused.json()["detail"]
    assert worker.api.get("/tasks").status_code == 200
