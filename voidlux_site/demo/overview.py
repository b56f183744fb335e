"""One node in one look, as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from voidlux_site.demo.client import Json
from voidlux_site.demo.names import Names
from voidlux_site.demo.view import STYLES, pipeline


def overview(state: Json, names: Names) -> RenderableType:
    """Return the node's head line and its goals, agents, peers and trade."""
    parts: list[RenderableType] = [head_line(state["node"])]
    for goal in state["goals"]:
        parts += [Text(""), _goal_line(goal), pipeline(goal["subtasks"], names)]
    if not state["goals"]:
        parts += [Text(""), Text("No goal yet: `manage.py submit --help` says how.", "dim")]
    parts += _section("Agents", _agents(state["agents"]))
    parts += _section("Peers", _peers(state["peers"], names))
    parts += _section("For sale in the network", _offerings(state["offerings"], names))
    parts += _section("Tributes", _tributes(state["tributes"], names))
    return Group(*parts)


def head_line(node: Json) -> Text:
    """Return who the node is, what it owns and whether anything is wrong."""
    wallet, agents = node["wallet"], node["agents"]
    trouble = node["troubled_jobs"]
    return Text.assemble(
        (f"{node['swarm']} {node['node_id'][:8]}", "bold"),
        f"  {standing_of(node)} on {node['network']}  {node['peers']} peers  ",
        f"{agents['ready']} of {agents['total']} agents ready  ",
        (f"{wallet['balance']} VOID ({wallet['held']} held)", "yellow"),
        (f", overdrawn by {wallet['overdrawn']}" if wallet.get("overdrawn") else "", "bold red"),
        (f"  {trouble} jobs in trouble", "bold red") if trouble else "",
    )


def standing_of(node: Json) -> str:
    """Return in a few words who is emperor, and whether that is this node."""
    emperor, election = node["emperor"], node["election"]
    if emperor is not None:
        if emperor["is_self"]:
            doubts = " (asks whether it still is)" if election["standing"] == "doubtful" else ""
            return f"emperor in term {emperor['term']}{doubts}"
        return f"follows {emperor['node_id'][:8]} in term {emperor['term']}"
    if election["vacant_s"] is None:
        return "no emperor is known"
    return f"no emperor for {election['vacant_s']:.0f} s: an election runs"


def _goal_line(goal: Json) -> Text:
    status = str(goal["status"])
    return Text.assemble(
        (goal["title"], "bold"),
        "  ",
        (status.replace("_", " "), STYLES.get(status, "")),
        (f"  {goal['error'] or goal['result']}", "dim"),
    )


def _section(title: str, rows: Iterable[tuple[str, ...]]) -> list[RenderableType]:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    if not table.row_count:
        return []
    return [Text(""), Text(title, "bold"), table]


def _agents(agents: list[Json]) -> Iterable[tuple[str, ...]]:
    for agent in agents:
        work = agent["task_title"] or ("reserved" if agent["reserved_for"] else "")
        yield agent["name"], agent["status"], work


def _peers(peers: list[Json], names: Names) -> Iterable[tuple[str, ...]]:
    for peer in peers:
        latency = peer["latency_ms"]
        measured = f"{latency:.1f} ms" if latency is not None else ""
        yield names.node(peer["node_id"]), peer["role"], measured


def _offerings(offerings: list[Json], names: Names) -> Iterable[tuple[str, ...]]:
    for each in offerings:
        price = f"{each['price_per_task']} {each['currency']} a task"
        yield names.node(each["node_id"]), f"{each['idle_agents']} agents", price, each["id"]


def _tributes(tributes: list[Json], names: Names) -> Iterable[tuple[str, ...]]:
    for each in tributes:
        sides = f"{names.node(each['from_node_id'])} buys of {names.node(each['to_node_id'])}"
        cost = f"{each['task_count']} at {each['price_per_task']} {each['currency']}"
        yield sides, cost, each["status"], each["reason"]
