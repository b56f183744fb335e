"""What a planning model is shown of a repository, read from its bare clone and nothing else.

Only plumbing reads it: nothing is checked out, and nothing that the repository says is run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from swarm.git.repository import Repository
from swarm.llm.redaction import redact
from swarm.planner.files import (
    CI,
    CI_FOLDER,
    GUIDANCE,
    LANGUAGE_OF,
    MANIFESTS,
    TrackedFile,
    is_worked_on,
    looks_secret,
)
from swarm.planner.tree import tree_of
from swarm.planner.visible import visible

FILES_MAX = 200_000  # of one commit, that are looked at
BLOB_BYTES_MAX = 1_048_576  # a larger file is no text for a planner
HISTORY_MAX = 20
SUBJECT_CHARS_MAX = 120
LANGUAGES_SHOWN = 10
MANIFESTS_SHOWN = 8
MANIFEST_CHARS_MAX = 4_000
SECRET_CHARS_MAX = 4_096  # as much is looked at beyond a cut
PART_CHARS_MIN = 120  # a part with less room is left out, and that is said
LEFT_OUT_CHARS = 180  # in these


@dataclass(frozen=True)
class _Part:
    """A part of what is shown: how it is read, its share of the whole, and its least characters."""

    title: str
    share: float
    read: Callable[[int], str]
    least: int = 0

    @property
    def heading(self) -> str:
        """The line above it."""
        return f"### {self.title}\n"


class RepositoryContext:
    """One commit of a repository, as text of a size that is asked for."""

    def __init__(self, repository: Repository, commit: str) -> None:
        """Take the clone, which holds the commit; ExternalError where git fails."""
        self._repository = repository
        self._commit = commit
        listed = repository.git("ls-tree", "-r", "-l", "-z", "--full-tree", commit).stdout
        self._entries = [each for each in listed.split("\0") if each]
        self._files = [_file_of(each) for each in self._entries[:FILES_MAX]]
        self._by_path = {each.path: each for each in self._files}

    def text(self, chars_max: int) -> str:
        """Return all parts in at most `chars_max` characters; what one leaves, the next may use.

        Every cut is said where it was made. Secrets that have a known shape are blanked out.
        """
        written: list[str] = []
        without: list[str] = []
        left, share_left = chars_max - LEFT_OUT_CHARS, 1.0
        for part in self._parts():
            room = max(int(left * part.share / share_left), min(left, part.least))
            share_left -= part.share
            inside = room - len(part.heading) - 2
            text = self._text_of(part, inside) if inside >= PART_CHARS_MIN else None
            if text is None:
                without.append(part.title)
            elif text:
                written.append(f"{part.heading}{text}\n\n")
                left -= len(written[-1])
        if without:
            written.append(cut(f"[left out: {'; '.join(without)}]", LEFT_OUT_CHARS))
        return "".join(written)

    def _parts(self) -> Sequence[_Part]:
        return (
            _Part("Languages", 0.02, self._languages, least=300),
            _Part("Recent history, newest first", 0.05, self._history),
            _Part("README", 0.25, self._readme),
            _Part("Manifests", 0.20, self._manifests),
            _Part("What the repository tells agents", 0.13, self._guidance),
            _Part("Continuous integration", 0.05, self._ci),
            _Part("Files", 0.30, lambda room: tree_of(self._files, room) + self._uncounted()),
        )

    def _text_of(self, part: _Part, room: int) -> str:
        # Cut once more: what is blanked out may be shorter than the word for it.
        return cut(redact(visible(part.read(room))), room)

    def _languages(self, room: int) -> str:
        sizes: Counter[str] = Counter()
        for file in filter(is_worked_on, self._files):
            sizes[LANGUAGE_OF.get(file.extension, "other")] += file.size
        shown = sizes.most_common(LANGUAGES_SHOWN)
        return ", ".join(f"{name} {size:,} bytes" for name, size in shown)

    def _history(self, room: int) -> str:
        # Not `git log`: what a clone's settings say of signatures would make it run a program.
        asked = ("rev-list", f"--max-count={HISTORY_MAX}", "--no-commit-header", "--format=%cs %s")
        lines = self._repository.git(*asked, self._commit).stdout.splitlines()
        return "\n".join(line[:SUBJECT_CHARS_MAX] for line in lines)

    def _readme(self, room: int) -> str:
        readmes = [each for each in self._files if _is_readme(each.path)]
        first = min(readmes, key=lambda each: (each.extension != "md", each.path), default=None)
        return self._shown(first, room) if first else ""

    def _manifests(self, room: int) -> str:
        found = [self._by_path[name] for name in MANIFESTS if name in self._by_path]
        if len(found) < MANIFESTS_SHOWN:  # those of the parts of a larger repository
            below = [each for each in self._files if each.path.count("/") in {1, 2}]
            named = [each for each in below if each.path.rpartition("/")[2] in MANIFESTS]
            found += filter(is_worked_on, named)
        return self._all_shown(found[:MANIFESTS_SHOWN], room, MANIFEST_CHARS_MAX)

    def _guidance(self, room: int) -> str:
        return self._all_shown([self._by_path[n] for n in GUIDANCE if n in self._by_path], room)

    def _ci(self, room: int) -> str:
        flows = [each for each in self._files if each.path.startswith(CI_FOLDER)]
        named = [self._by_path[name] for name in CI if name in self._by_path]
        return self._all_shown([*named, *flows], room)

    def _all_shown(self, files: Sequence[TrackedFile], room: int, each_max: int = 0) -> str:
        """Return the heads of several files, which share the room evenly."""
        texts: list[str] = []
        for place, file in enumerate(files):
            part = (room - sum(map(len, texts))) // (len(files) - place)
            texts.append(self._shown(file, min(part, each_max or part) - 1) + "\n")
        return "".join(texts).rstrip("\n")

    def _shown(self, file: TrackedFile, room: int) -> str:
        heading = f"--- {file.path}\n"
        if looks_secret(file.path):
            return f"{heading}(not shown: its name is that of a file with secrets)"
        if not file.is_plain or file.size > BLOB_BYTES_MAX:
            return f"{heading}(not shown: {file.size:,} bytes, mode {file.mode})"
        text = visible(self._repository.git("cat-file", "blob", file.blob).stdout)
        inside = max(0, room - len(heading))
        # Before the cut: half of a secret has a shape that nobody knows.
        head = redact(text[: inside + SECRET_CHARS_MAX])
        return heading + cut(head, inside, of=max(len(text), len(head)))

    def _uncounted(self) -> str:
        beyond = len(self._entries) - len(self._files)
        return f"\n… and {beyond:,} more files" if beyond else ""


def cut(text: str, chars_max: int, *, of: int = 0) -> str:
    """Return a text, or its beginning with a word on how much of it (or `of` more) that is."""
    whole = max(of, len(text))
    if whole <= chars_max:
        return text
    said = f"\n[cut: {chars_max:,} of {whole:,} characters]"
    return text[: max(0, chars_max - len(said))] + said if chars_max > len(said) else ""


def _file_of(entry: str) -> TrackedFile:
    facts, _, path = entry.partition("\t")
    mode, _, blob, size = facts.split()
    return TrackedFile(path, blob, int(size) if size.isdigit() else 0, mode)


def _is_readme(path: str) -> bool:
    return "/" not in path and path.lower().split(".")[0] == "readme"
