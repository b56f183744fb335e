"""The papers say what the code says: generated pages, README, links and glossary."""

from __future__ import annotations

import re
from io import StringIO
from itertools import pairwise
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from marketplace.states import EXECUTION_MOVES, TRIBUTE_MOVES
from p2p.protocol.messages import Record
from p2p.registration import registry
from swarm.outline import parse_outline
from swarm.states import ATTEMPT_MOVES, TASK_MOVES, TaskStatus
from voidlux_site.documentation import pages
from voidlux_site.environment import Environment

ROOT = Path(__file__).resolve().parents[2]
PAPERS = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "benchmarks").glob("*.md"),
]
README = (ROOT / "README.md").read_text()
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def test_the_generated_pages_are_up_to_date() -> None:
    out = StringIO()

    call_command("docs", "--check", stdout=out)

    assert out.getvalue() == "docs/protocol.md, docs/states.md, docs/mcp.md: up to date\n"


@pytest.mark.parametrize("name", ["protocol.md", "states.md", "mcp.md"])
def test_a_stale_page_is_named_and_written_anew(tmp_path: Path, name: str) -> None:
    call_command("docs", folder=tmp_path, stdout=StringIO())
    (tmp_path / name).write_text("edited by hand")

    with pytest.raises(CommandError) as refusal:
        call_command("docs", "--check", folder=tmp_path)

    assert str(refusal.value) == (
        f"docs/{name}: not what the code says; run `make docs` and commit it"
    )
    assert (tmp_path / name).read_text() == "edited by hand"
    call_command("docs", folder=tmp_path, stdout=StringIO())
    assert (tmp_path / name).read_text() == pages()[name]


def test_a_missing_page_is_stale(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"docs/protocol\.md, docs/states\.md"):
        call_command("docs", "--check", folder=tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_the_protocol_page_has_every_registered_message() -> None:
    page = pages()["protocol.md"]

    for each in registry.classes:
        assert f"\n### 0x{each.__struct_config__.tag:02X} " in page, each
    topics = {each.topic for each in registry.classes if issubclass(each, Record)}
    assert [name for name in topics if f"\n### Topic `{name}`\n" not in page] == []


def test_the_states_page_draws_every_allowed_move_and_no_other() -> None:
    page = pages()["states.md"]
    drawn = re.findall(r"^    (\w+) --> (\w+)(?::|$)", page, re.MULTILINE)
    moves = {(str(m.source), str(m.target)) for m in TASK_MOVES}
    moves |= {(str(m.source), str(m.target)) for m in ATTEMPT_MOVES}
    moves |= {(str(m.source), str(m.target)) for m in (*TRIBUTE_MOVES, *EXECUTION_MOVES)}
    hidden = {(str(m.source), "cancelled") for m in TASK_MOVES if m.target == TaskStatus.CANCELLED}

    assert set(drawn) <= moves
    assert moves - set(drawn) <= hidden


def variables() -> list[tuple[str, str]]:
    """Return every variable with its default as the README shows it."""
    found = []
    for name, field in Environment.model_fields.items():
        variable = str(field.validation_alias or f"VOIDLUX_{name.upper()}")
        default = field.default
        found.append((variable, "" if default in ("", ()) else str(default)))
    return found


@pytest.mark.parametrize(("variable", "default"), variables())
def test_the_readme_has_every_variable_with_its_default(variable: str, default: str) -> None:
    row = re.search(rf"^\| `{variable}` \| (.*?) \| ", README, re.MULTILINE)

    assert row is not None, variable
    if variable != "VOIDLUX_HOME":  # named after the port, so it has no fixed default
        assert row[1] == (f"`{default}`" if default else "none")


def test_the_readme_names_no_variable_that_does_not_exist() -> None:
    named = set(re.findall(r"\bVOIDLUX_[A-Z_0-9]*[A-Z0-9]\b", README))
    given_to_work = {
        "VOIDLUX_ATTEMPT",
        "VOIDLUX_FEEDBACK",
        "VOIDLUX_SAY",
        "VOIDLUX_TASK_ID",
        "VOIDLUX_TASK_TITLE",
    }

    assert named - given_to_work <= {variable for variable, _ in variables()}


def test_the_outline_of_the_readme_can_be_submitted() -> None:
    text = re.search(r"^````markdown\n(.*?)^````$", README, re.MULTILINE | re.DOTALL)
    assert text is not None

    outline = parse_outline(text[1])

    assert outline.title == "Greet in two languages"
    assert [item.after for item in outline.items] == [[], [], [1, 2]]
    assert outline.items[2].test == "python3 both.py"


def test_the_readme_names_only_targets_that_make_has() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    papers = "\n".join(paper.read_text() for paper in PAPERS)

    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", papers, re.MULTILINE)) <= targets


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: str(paper.relative_to(ROOT)))
def test_every_link_leads_to_a_file(paper: Path) -> None:
    text = FENCE.sub("", paper.read_text())

    missing = [link[1] for link in LINK.finditer(text) if not (paper.parent / link[1]).exists()]

    assert missing == []


def test_the_glossary_is_in_order_and_has_each_word_once() -> None:
    glossary = (ROOT / "docs" / "glossary.md").read_text()
    words = [word.lower() for word in re.findall(r"^\| \*\*(.+?)\*\* \|", glossary, re.MULTILINE)]

    assert len(words) > 40
    assert [(a, b) for a, b in pairwise(words) if a >= b] == []


def test_every_test_that_the_marketplace_page_names_exists() -> None:
    page = (ROOT / "docs" / "marketplace.md").read_text("utf-8")
    rows = re.findall(r"\]\(\.\./(tests/[\w/]+\.py)\): (.+) \|$", page, flags=re.MULTILINE)
    named = [(path, name) for path, names in rows for name in re.findall(r"`(test_\w+)`", names)]

    assert len(named) == 26
    for path, name in named:
        assert re.search(rf"def {name}\(", (ROOT / path).read_text("utf-8")), name
