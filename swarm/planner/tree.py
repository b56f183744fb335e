"""The files of a repository as a tree that fits a budget: counted where it is not shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from swarm.planner.files import BINARY, GENERATED, VENDORED, TrackedFile

DEPTH_MAX = 5
FILES_SHOWN_MAX = 40  # of one folder
FOLDERS_SHOWN_MAX = 60
BINARY_SHARE = 0.8  # of a folder's files, from which on they are not named
BINARY_FILES_MIN = 4


@dataclass
class Folder:
    """A folder with what is in it; `count` and `extensions` are of everything below."""

    folders: dict[str, Folder] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    count: int = 0
    extensions: Counter[str] = field(default_factory=Counter)


def tree_of(files: Sequence[TrackedFile], chars_max: int) -> str:
    """Return the deepest tree of at most `chars_max` characters, and say what it leaves out."""
    root = _folder_of(files)
    text = ""
    for depth in range(DEPTH_MAX, 0, -1):
        text = "\n".join(_lines(root, depth, 0))
        if len(text) <= chars_max:
            return text
    lines = text.split("\n")
    said = "… and more: {} of {} lines shown"
    room = chars_max - len(said) - 8
    kept: list[str] = []
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    return "\n".join([*kept, said.format(len(kept), len(lines))])


def _folder_of(files: Sequence[TrackedFile]) -> Folder:
    root = Folder()
    for file in files:
        *folders, name = file.path.split("/")
        here = root
        for each in (None, *folders):
            here = here if each is None else here.folders.setdefault(each, Folder())
            here.count += 1
            here.extensions[file.extension] += 1
        here.files.append(f"{name} -> elsewhere" if file.mode == "120000" else name)
    return root


def _lines(folder: Folder, depth: int, level: int) -> Iterator[str]:
    indent = "  " * level
    shown = sorted(folder.folders.items())
    for name, below in shown[:FOLDERS_SHOWN_MAX]:
        why = _why_closed(name, below, depth)
        yield f"{indent}{name}/ ({_counted(below.count)}{f', {why}' if why else ''})"
        if not why:
            yield from _lines(below, depth - 1, level + 1)
    if len(shown) > FOLDERS_SHOWN_MAX:
        yield f"{indent}… {len(shown) - FOLDERS_SHOWN_MAX} more folders"
    names = sorted(folder.files)
    for name in names[:FILES_SHOWN_MAX]:
        yield f"{indent}{name}"
    if len(names) > FILES_SHOWN_MAX:
        yield f"{indent}… {_counted(len(names) - FILES_SHOWN_MAX, 'more ')}"


def _why_closed(name: str, folder: Folder, depth: int) -> str:
    if name in VENDORED:
        return "vendored, not shown"
    if name in GENERATED:
        return "generated, not shown"
    binary = sum(count for each, count in folder.extensions.items() if each in BINARY)
    if folder.count >= BINARY_FILES_MIN and binary >= BINARY_SHARE * folder.count:
        return f"mostly {folder.extensions.most_common(1)[0][0]}, not shown"
    return "not shown" if depth <= 1 else ""


def _counted(number: int, more: str = "") -> str:
    return f"{number:,} {more}file{'' if number == 1 else 's'}"
