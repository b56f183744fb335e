from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.protocol.errors import DomainError
from swarm.outline import Outline, OutlineError, OutlineItem, parse_outline

FULL = """\
# Two files

Write them well.

- [ ] First file
  Say hello.

  ```sh
  echo hello > a.txt
  ```
- [ ] Second file (after: 1)
  needs: Python, testing
  test: `python -m pytest -q`

  Use the first one:

  ```python
  test: not a directive
  ```
  ```bash
  cp a.txt b.txt
  ```
  and then

  ```shell
  echo more >> b.txt
  ```

Thank you.
"""


def _item(title: str = "Do it", *, body: str = "", shell: str = "true") -> str:
    return f"- [ ] {title}\n{body}  ```sh\n  {shell}\n  ```\n"


def _many(*titles: str) -> str:
    return "".join(_item(title) for title in titles)


def test_full_outline() -> None:
    outline = parse_outline(FULL)

    assert outline == Outline(
        title="Two files",
        intro="Write them well.\n\nThank you.",
        items=[
            OutlineItem(1, "First file", "Say hello.", "echo hello > a.txt\n", [], "", []),
            OutlineItem(
                number=2,
                title="Second file",
                instructions=(
                    "Use the first one:\n\n```python\ntest: not a directive\n```\nand then"
                ),
                shell="cp a.txt b.txt\n\necho more >> b.txt\n",
                after=[1],
                test="python -m pytest -q",
                capabilities=["python", "testing"],
            ),
        ],
    )


def test_title_and_intro_are_optional() -> None:
    outline = parse_outline(_item())

    assert (outline.title, outline.intro) == ("", "")
    assert outline.items == [OutlineItem(1, "Do it", "", "true\n", [], "", [])]


def test_a_plain_list_belongs_to_the_intro() -> None:
    outline = parse_outline("Mind:\n\n- speed\n- taste\n\n## Steps\n\n" + _item())

    assert outline.intro == "Mind:\n\n- speed\n- taste\n\n## Steps"
    assert len(outline.items) == 1


def test_items_count_on_across_several_lists() -> None:
    outline = parse_outline(_item("One") + "\nbetween\n\n" + _item("Two (after: 1)"))

    assert [(item.number, item.title, item.after) for item in outline.items] == [
        (1, "One", []),
        (2, "Two", [1]),
    ]
    assert outline.intro == "between"


@pytest.mark.parametrize(
    "text",
    [
        "3. [ ] A\n   ```sh\n   true\n   ```\n4. [ ] B (after: 3)\n   ```sh\n   true\n   ```\n",
        _many("3. A", "4. B (after: 3)"),
        _many("3) A", "4) B (AFTER: #3)"),
    ],
    ids=["ordered list", "numbered titles", "brackets"],
)
def test_explicit_numbers(text: str) -> None:
    items = parse_outline(text).items

    assert [(item.number, item.title, item.after) for item in items] == [
        (3, "A", []),
        (4, "B", [3]),
    ]


@pytest.mark.parametrize(
    "third",
    [
        _item("C (after: 1, 2)"),
        _item("C", body="  after: 2, 1\n"),
        _item("C", body="  After: 1 2\n"),
        _item("C", body="  - after: 1, 2, 2\n"),
        _item("C (after: 2)", body="\n  Some words.\n\n  after: 1\n\n"),
    ],
)
def test_after_in_the_title_or_on_a_line(third: str) -> None:
    item = parse_outline(_many("A", "B") + third).items[2]

    assert (item.title, item.after) == ("C", [1, 2])


def test_order_in_the_file_is_kept_when_a_later_item_comes_first() -> None:
    items = parse_outline(_many("A (after: 2)", "B")).items

    assert [(item.title, item.after) for item in items] == [("A", [2]), ("B", [])]


def test_windows_line_ends_do_not_reach_the_shell() -> None:
    item = parse_outline(_item(body="  text\n", shell="echo a").replace("\n", "\r\n")).items[0]

    assert (item.instructions, item.shell) == ("text", "echo a\n")


def test_shell_keeps_its_own_indentation() -> None:
    text = "- [ ] A\n  ```sh\n  if true; then\n    echo x\n  fi\n  ```\n"

    assert parse_outline(text).items[0].shell == "if true; then\n  echo x\nfi\n"


def test_eight_items_are_allowed() -> None:
    assert len(parse_outline(_many(*"ABCDEFGH")).items) == 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'outline has no item: write "- [ ] Title"'),
        ("# Title\n\n- plain\n", "outline has no item"),
        (_many(*"ABCDEFGHI"), "outline of 9 items exceeds 8"),
        ("x" * 65_537, "outline of 65537 bytes exceeds 65536"),
        ("é" * 32_769, "outline of 65538 bytes exceeds 65536"),
        ("a\0b", "outline holds a zero byte at 1"),
        ("a\ud800b", "outline holds half a character at 1"),
        ("# " + "t" * 201 + "\n\n" + _item(), "title of 201 characters exceeds 200"),
        (_item("A") + "- [ ]\n", "line 5, item 2: title is empty"),
        (_item("(after: 1)"), "line 1, item 1: title is empty"),
        (_item("t" * 201), "line 1, item 1: title of 201 characters exceeds 200"),
        (_item("A") + "- plain\n", 'line 5, item 2: entry of a checklist without "[ ]"'),
        (_item("A") + "- [x] Old\n", 'line 5, item 2: "Old" is already checked: remove it or'),
        ("- [ ] A\n```sh\ntrue\n```\n", 'item 1: "A" has no shell block to run: indent a ```sh'),
        ("- [ ] A\n  x\n\ny\n\n```sh\ntrue\n```\n", '"A" has no shell block'),
        ("- [ ] A\n  ```sh\n\n  ```\n", '"A" has no shell block'),
        ("- [ ] A\n  ```sh\n  true\n", "line 2: shell block is not closed by ```"),
        (_item(shell="x" * 32_768), "line 1, item 1: shell block of 32769 bytes exceeds 32768"),
        (_many("A", "B (after: 7)"), "line 5, item 2: after: 7 is none of the items 1, 2"),
        (_many("A", "B (after: first)"), 'line 5, item 2: after: "first" is no item number'),
        (_many("A (after: )"), "line 1, item 1: (after:) names no item"),
        (_many("A", "B (after: 2)"), "line 5, item 2: 2 is after itself"),
        (_many("A (after: 2)", "B (after: 1)"), "items wait for each other: "),
        (_many("2. A", "B"), "line 5, item 2: number 2 is used twice"),
        (_many("0. A"), "line 1, item 1: number 0 is outside 1 to 99"),
        (_many("100. A"), "line 1, item 1: number 100 is outside 1 to 99"),
        (_item(body="  test:\n"), "line 2: test: names nothing"),
        (_item(body="  test: a\n  test: b\n"), "line 3: test: stands twice in one item"),
        (
            _item(body="  test: " + "x" * 1001 + "\n"),
            "line 1, item 1: test command of 1001 characters exceeds 1000",
        ),
        (_item(body="  needs: a b!\n"), 'line 1, item 1: capability "b!": up to 64 of a-z'),
        (
            _item(body="  needs: " + " ".join(f"c{n}" for n in range(33)) + "\n"),
            "line 1, item 1: needs 33 capabilities, more than 32",
        ),
    ],
)
def test_refusals_name_place_value_and_limit(text: str, message: str) -> None:
    with pytest.raises(OutlineError) as caught:
        parse_outline(text)

    assert isinstance(caught.value, DomainError)
    assert (caught.value.code, caught.value.status) == ("bad_outline", 422)
    assert message in caught.value.message


def test_a_cycle_is_named_in_waiting_order() -> None:
    with pytest.raises(OutlineError) as caught:
        parse_outline(_many("A (after: 3)", "B (after: 1)", "C (after: 2)", "D (after: 3)"))

    circle = [int(number) for number in caught.value.message.partition(": ")[2].split(" after ")]
    assert circle[0] == circle[-1]
    assert set(itertools.pairwise(circle)) == {(1, 3), (2, 1), (3, 2)}


_MARKS = ("- [ ] A", "1. [ ] B", "(after: 1)", "after: 2", "test: x", "  ```sh", "  ```", "```")
_SPACE = ("# T", "\n", "\n\n", "  ", "\t", "> ", "- ", "[x]", "   true", "\x0b", "\u2028", "<!--")
_PIECES = st.sampled_from((*_MARKS, *_SPACE))


@given(st.lists(_PIECES | st.text(max_size=5), max_size=40).map("".join))
def test_any_text_is_an_outline_or_refused(text: str) -> None:
    try:
        outline = parse_outline(text)
    except OutlineError as error:
        assert error.message
    else:
        assert 1 <= len(outline.items) <= 8
        assert all(item.title for item in outline.items)


@pytest.mark.parametrize(
    "text",
    [
        "- [ ] " + "a " + " " * 60_000 + "b\n```sh\ntrue\n```\n",
        _item(body="  test: a" + " " * 60_000 + "b\n"),
        "- [ ] " + "(after:" * 9_000,
        "- " * 30_000,
        "> " * 30_000,
    ],
    ids=["blank title", "blank directive", "many afters", "deep lists", "deep quotes"],
)
def test_hostile_text_is_refused_quickly(text: str) -> None:
    started = time.monotonic()

    with pytest.raises(OutlineError):
        parse_outline(text)

    assert time.monotonic() - started < 5


def test_tabs_in_titles_become_spaces_and_other_control_characters_are_refused() -> None:
    item = "- [ ] Part\t{}one\n  ```sh\n  true\n  ```\n"

    outline = parse_outline("# The\tgoal\n\n" + item.format(""))

    assert (outline.title, outline.items[0].title) == ("The goal", "Part one")
    with pytest.raises(OutlineError, match=r"line 1, item 1: title .* holds"):
        parse_outline(item.format("\a"))


def test_an_item_without_a_shell_block_is_for_agents_that_take_prompts() -> None:
    words = "- [ ] A\n  words\n  ```python\n  x\n  ```\n"
    text = f"```sh\nset-up\n```\n\n{words}- [ ] B\n  ```sh\n  true\n  ```\n"

    first, second = parse_outline(text).items

    assert (first.shell, second.shell) == ("", "true\n")
    assert first.instructions == "words\n```python\nx\n```"
