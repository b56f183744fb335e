"""The outline of a goal: a Markdown checklist whose entries become subtasks.

# Title of the goal
What every subtask should know.

- [ ] First subtask
  What to do.
  ```sh
  echo hello > hello.txt
  ```
- [ ] Second subtask (after: 1)
  needs: python, testing
  test: python -m pytest -q
  ```sh
  cat hello.txt
  ```
- [ ] Third subtask, for an agent that takes prompts: it has no shell block
"""

from __future__ import annotations

import graphlib
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markdown_it import MarkdownIt
from markdown_it.token import Token

from p2p.protocol.errors import DomainError
from p2p.protocol.limits import CAPABILITIES_MAX, NAME_CHARS_MAX, TITLE_CHARS_MAX

OUTLINE_BYTES_MAX = 65_536
SHELL_BYTES_MAX = 32_768
ITEMS_MAX = 8
NUMBER_MAX = 99
TEST_CHARS_MAX = 1_000
PROMPTS = "prompts"  # the capability of every agent whose tool takes prompts
SHELL_NAMES = frozenset({"sh", "bash", "shell"})

_CHECKBOX = re.compile(r"\[(?P<mark>[ xX])\](?:\s+(?P<title>.*))?")
_NUMBERED = re.compile(r"(?P<number>\d{1,9})[.)]\s+(?P<title>.*)")
_TITLE_AFTER = re.compile(r"(?P<title>.*)\(after:(?P<after>[^()]*)\)", re.IGNORECASE)
_DIRECTIVE = re.compile(r"\s*(?:[-*]\s+)?(?P<name>after|test|needs):\s*(?P<value>.*)", re.I)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")  # no title travels with one
_CAPABILITY = re.compile(r"[a-z0-9][a-z0-9._+-]*")


class OutlineError(DomainError):
    """The outline cannot become a plan; the message names the line, the value and the limit."""

    def __init__(self, message: str) -> None:
        """Take the sentence for the author of the outline."""
        super().__init__("bad_outline", message, status=422)


@dataclass(frozen=True, slots=True)
class OutlineItem:
    """One subtask: `after` holds the numbers of its prerequisites, `test` is empty for none.

    Without `shell` it is for an agent that takes prompts.
    """

    number: int
    title: str
    instructions: str
    shell: str
    after: list[int]
    test: str
    capabilities: list[str]
    acceptance_criteria: str = ""
    complexity: str = "medium"


@dataclass(frozen=True, slots=True)
class Outline:
    """A goal's title (empty for none), what all its subtasks should know, and 1 to 8 subtasks."""

    title: str
    intro: str
    items: list[OutlineItem]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A list entry before it is read: its tokens, its lines and its place in the outline."""

    tokens: Sequence[Token]
    start: int
    end: int
    position: int

    @property
    def where(self) -> str:
        return f"line {self.start + 1}, item {self.position}"


def parse_outline(text: str) -> Outline:
    """Read an outline; OutlineError names the first thing wrong with it."""
    text = _require_text(text).replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    tokens = MarkdownIt("commonmark").parse(text)
    lists = [found for found in _lists(tokens) if any(map(_checkbox, _entries(found)))]
    found = [entry for tokens_of_list in lists for entry in _entries(tokens_of_list)]
    if not 1 <= len(found) <= ITEMS_MAX:
        count = f"outline of {len(found)} items exceeds {ITEMS_MAX}"
        raise OutlineError(count if found else 'outline has no item: write "- [ ] Title"')
    placed = [_Entry(e.tokens, e.start, e.end, at) for at, e in enumerate(found, 1)]
    items = [_read_item(entry, lines) for entry in placed]
    _check_stray_blocks(tokens, items, placed)
    _check_numbers(items, placed)
    _check_order(items, placed)
    title, intro = _read_rest(tokens, lists, lines)
    return Outline(title, intro, items)


def parse_goal(text: str) -> Outline:
    """Read a goal: an outline, or, where it has no checklist, prose without items for a planner.

    OutlineError names the first thing wrong with it; empty prose is wrong.
    """
    text = _require_text(text).replace("\r\n", "\n").replace("\r", "\n")
    tokens = MarkdownIt("commonmark").parse(text)
    if any(_checkbox(entry) for found in _lists(tokens) for entry in _entries(found)):
        return parse_outline(text)
    title, intro = _read_rest(tokens, [], text.split("\n"))
    first_line = next((line for line in map(_one_line, intro.splitlines()) if line), "")
    if not (title or first_line):
        raise OutlineError('outline has no item: write "- [ ] Title"')
    cleaned = _CONTROL.sub("", title or first_line.lstrip("# "))
    return Outline(cleaned[:TITLE_CHARS_MAX], intro, [])


def shell_of(text: str) -> str:
    """Return the first shell block of a goal without a checklist: what a shell planner runs."""
    for token in MarkdownIt("commonmark").parse(text):
        if token.type == "fence" and _is_shell(token):
            return token.content
    return ""


def _require_text(text: str) -> str:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise OutlineError(f"outline holds half a character at {error.start}") from None
    if size > OUTLINE_BYTES_MAX:
        raise OutlineError(f"outline of {size} bytes exceeds {OUTLINE_BYTES_MAX}")
    if "\0" in text:
        raise OutlineError(f"outline holds a zero byte at {text.index(chr(0))}")
    return text


def _lists(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    yield from _spans(tokens, 0, {"bullet_list_open", "ordered_list_open"})


def _entries(list_tokens: Sequence[Token]) -> list[_Entry]:
    found = []
    for span in _spans(list_tokens, 1, {"list_item_open"}):
        start, end = span[0].map or (0, 0)
        found.append(_Entry(span, start, end, position=0))
    return found


def _spans(tokens: Sequence[Token], level: int, kinds: set[str]) -> Iterator[Sequence[Token]]:
    """Yield the tokens from each opening one of `kinds` at `level` to its closing one."""
    opened = 0
    for at, token in enumerate(tokens):
        if token.level == level and token.type in kinds:
            opened = at
        elif token.level == level and token.type.replace("_close", "_open") in kinds:
            yield tokens[opened : at + 1]


def _checkbox(entry: _Entry) -> re.Match[str] | None:
    if len(entry.tokens) < 3 or entry.tokens[1].type != "paragraph_open":
        return None
    return _CHECKBOX.fullmatch(entry.tokens[2].content.split("\n")[0])


def _read_item(entry: _Entry, lines: Sequence[str]) -> OutlineItem:
    box = _checkbox(entry)
    if box is None:
        raise OutlineError(f'{entry.where}: entry of a checklist without "[ ]"')
    number, title, after_text = _read_title(entry, box["title"] or "")
    if box["mark"] != " ":
        raise OutlineError(f'{entry.where}: "{title}" is already checked: remove it or write "[ ]"')
    fences = [token for token in entry.tokens if token.type == "fence" and _is_shell(token)]
    directives, instructions = _read_body(entry, fences, lines)
    after_texts = [after_text, directives.get("after", "")]
    return OutlineItem(
        number=number,
        title=title,
        instructions=instructions,
        shell=_read_shell(entry, title, fences, lines),
        after=sorted({n for text in after_texts for n in _read_after(entry, text)}),
        test=_read_test(entry, directives.get("test", "")),
        capabilities=_read_capabilities(entry, directives.get("needs", "")),
    )


def _read_title(entry: _Entry, text: str) -> tuple[int, str, str]:
    marker, after = entry.tokens[0].info, ""
    if match := _TITLE_AFTER.fullmatch(text.strip()):
        text, after = match["title"], match["after"].strip()
        if not after:
            raise OutlineError(f"{entry.where}: (after:) names no item")
    if match := _NUMBERED.fullmatch(text):
        marker, text = match["number"], match["title"]
    title = _one_line(text)
    number = int(marker) if marker else entry.position
    if not 1 <= number <= NUMBER_MAX:
        raise OutlineError(f"{entry.where}: number {number} is outside 1 to {NUMBER_MAX}")
    if not title:
        raise OutlineError(f"{entry.where}: title is empty")
    if _CONTROL.search(title):
        raise OutlineError(f"{entry.where}: title {title[:40]!r} holds a control character")
    if len(title) > TITLE_CHARS_MAX:
        message = f"title of {len(title)} characters exceeds {TITLE_CHARS_MAX}"
        raise OutlineError(f"{entry.where}: {message}")
    return number, title, after


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _read_body(
    entry: _Entry, shell_fences: Sequence[Token], lines: Sequence[str]
) -> tuple[dict[str, str], str]:
    """Return the directives and, without them and the shell blocks, the instructions."""
    shell = _covered(shell_fences)
    code = _covered(t for t in entry.tokens if t.type in {"fence", "code_block"})
    directives: dict[str, str] = {}
    prose = []
    for at in range(entry.start + 1, entry.end):
        match = None if at in code else _DIRECTIVE.fullmatch(lines[at])
        if match:
            _add_directive(directives, match, at)
        elif at not in shell:
            prose.append(lines[at])
    return directives, textwrap.dedent("\n".join(prose)).strip()


def _add_directive(directives: dict[str, str], match: re.Match[str], at: int) -> None:
    name, value = match["name"].lower(), match["value"].strip().strip("`").strip()
    if not value:
        raise OutlineError(f"line {at + 1}: {name}: names nothing")
    if name in directives:
        raise OutlineError(f"line {at + 1}: {name}: stands twice in one item")
    directives[name] = value


def _covered(tokens: Iterator[Token] | Sequence[Token]) -> set[int]:
    return {at for token in tokens if token.map for at in range(*token.map)}


def _is_shell(token: Token) -> bool:
    return token.info.strip().split(" ")[0].lower() in SHELL_NAMES


def _no_block(entry: _Entry, title: str) -> str:
    hint = "indent a ```sh block under it"
    return f'{entry.where}: "{title}" has no shell block to run: {hint}'


def _check_stray_blocks(
    tokens: Sequence[Token], items: Sequence[OutlineItem], placed: Sequence[_Entry]
) -> None:
    """Refuse a shell block behind an item without one: it was meant for it, but not indented."""
    for token in tokens:
        if token.type != "fence" or not _is_shell(token) or token.level > 0:
            continue
        at = (token.map or (0, 0))[0]
        before = [
            (item, entry) for item, entry in zip(items, placed, strict=True) if entry.end <= at
        ]
        if before and not before[-1][0].shell:
            raise OutlineError(_no_block(before[-1][1], before[-1][0].title))


def _read_shell(entry: _Entry, title: str, fences: Sequence[Token], lines: Sequence[str]) -> str:
    for fence in fences:
        start, end = fence.map or (0, 0)
        if end - start < 2 or not lines[end - 1].strip().startswith(fence.markup):
            raise OutlineError(f"line {start + 1}: shell block is not closed by {fence.markup}")
    shell = "\n".join(
        fence.content.rstrip("\n") + "\n" for fence in fences if fence.content.strip()
    )
    if fences and not shell:
        raise OutlineError(_no_block(entry, title))
    size = len(shell.encode())
    if size > SHELL_BYTES_MAX:
        message = f"shell block of {size} bytes exceeds {SHELL_BYTES_MAX}"
        raise OutlineError(f"{entry.where}: {message}")
    return shell


def _read_after(entry: _Entry, text: str) -> list[int]:
    words = [word.removeprefix("#") for word in re.split(r"[,\s]+", text) if word]
    for word in words:
        if not re.fullmatch(r"[0-9]{1,9}", word):
            raise OutlineError(f'{entry.where}: after: "{word[:40]}" is no item number')
    return [int(word) for word in words]


def _read_test(entry: _Entry, command: str) -> str:
    if len(command) > TEST_CHARS_MAX:
        message = f"test command of {len(command)} characters exceeds {TEST_CHARS_MAX}"
        raise OutlineError(f"{entry.where}: {message}")
    return command


def _read_capabilities(entry: _Entry, text: str) -> list[str]:
    names = list(dict.fromkeys(word.lower() for word in re.split(r"[,\s]+", text) if word))
    if len(names) > CAPABILITIES_MAX:
        message = f"needs {len(names)} capabilities, more than {CAPABILITIES_MAX}"
        raise OutlineError(f"{entry.where}: {message}")
    for name in names:
        if len(name) > NAME_CHARS_MAX or not _CAPABILITY.fullmatch(name):
            allowed = f"up to {NAME_CHARS_MAX} of a-z, 0-9 and . _ + -"
            raise OutlineError(f'{entry.where}: capability "{name[:40]}": {allowed} allowed')
    return names


def _check_numbers(items: Sequence[OutlineItem], entries: Sequence[_Entry]) -> None:
    seen: set[int] = set()
    for item, entry in zip(items, entries, strict=True):
        if item.number in seen:
            raise OutlineError(f"{entry.where}: number {item.number} is used twice")
        seen.add(item.number)


def _check_order(items: Sequence[OutlineItem], entries: Sequence[_Entry]) -> None:
    known = {item.number for item in items}
    for item, entry in zip(items, entries, strict=True):
        if item.number in item.after:
            raise OutlineError(f"{entry.where}: {item.number} is after itself")
        unknown = [number for number in item.after if number not in known]
        if unknown:
            listed = ", ".join(map(str, sorted(known)))
            raise OutlineError(f"{entry.where}: after: {unknown[0]} is none of the items {listed}")
    try:
        graphlib.TopologicalSorter({item.number: item.after for item in items}).prepare()
    except graphlib.CycleError as error:
        # graphlib lists each item before the one that waits for it
        circle = " after ".join(str(number) for number in reversed(error.args[1]))
        raise OutlineError(f"items wait for each other: {circle}") from None


def _read_rest(
    tokens: Sequence[Token], lists: Sequence[Sequence[Token]], lines: Sequence[str]
) -> tuple[str, str]:
    """Return the first top heading, and everything else outside the checklist."""
    taken = _covered([found[0] for found in lists])
    title = ""
    for at, token in enumerate(tokens):
        if token.type == "heading_open" and token.tag == "h1" and token.level == 0:
            title = _one_line(tokens[at + 1].content)
            taken |= _covered([token])
            break
    if len(title) > TITLE_CHARS_MAX:
        raise OutlineError(f"title of {len(title)} characters exceeds {TITLE_CHARS_MAX}")
    rest = "\n".join(line for at, line in enumerate(lines) if at not in taken)
    return title, re.sub(r"\n{3,}", "\n\n", rest).strip()
