"""The pages in `docs/` that are written from the code: which they are, and whether they are stale.

Nothing here reads a node's state, so that the pages are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from p2p.protocol.documentation import render
from p2p.registration import registry
from p2p.sync.documentation import sync_rules
from voidlux_site.documentation.mcp import mcp_page
from voidlux_site.documentation.mesh_rules import discovery_rules, posts_rules
from voidlux_site.documentation.states import states_page
from voidlux_site.documentation.swarm_rules import swarm_rules
from voidlux_site.documentation.wire_rules import delivery_times, marketplace_rules


def pages() -> dict[str, str]:
    """Return the text of every generated page by its file name in `docs/`."""
    upper_sections = (
        delivery_times(),
        sync_rules(),
        discovery_rules(),
        posts_rules(),
        swarm_rules(),
        marketplace_rules(),
    )
    return {
        "protocol.md": render(registry.classes, upper_sections),
        "states.md": states_page(),
        "mcp.md": mcp_page(),
    }


def stale(folder: Path, wanted: Mapping[str, str]) -> list[str]:
    """Return the names of the pages in `folder` that are missing or differ from `wanted`."""
    return [name for name, text in wanted.items() if _text_of(folder / name) != text]


def write(folder: Path, wanted: Mapping[str, str]) -> None:
    """Write the pages into `folder`, which is made when it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in wanted.items():
        (folder / name).write_text(text, encoding="utf-8")


def _text_of(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None
