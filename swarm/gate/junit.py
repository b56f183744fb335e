"""Which tests failed, as the JUnit reports of a run say; a report decides no verdict."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

REPORT_BYTES_MAX = 10_000_000  # of all reports of one run together
REPORTS_MAX = 1_000
FAILING_NAMES_MAX = 200
NAME_CHARS_MAX = 300
NOTE_CHARS_MAX = 300
NAMES_IN_SENTENCE = 3
_FAILED = ("failure", "error")


class UnreadableReport(Exception):
    """A report that is no report, too large or no file; the message says which and why."""


@dataclass(frozen=True, slots=True)
class TestReport:
    """What the reports of a run count; `note` says why a report was left out."""

    __test__ = False  # keeps pytest from collecting it

    tests_run: int | None = None
    tests_failed: int | None = None
    failing_tests: list[str] = field(default_factory=list)
    note: str = ""


def read_reports(paths: Iterable[Path], *, written_after_s: float, below: Path) -> TestReport:
    """Count the tests of all reports that a run wrote; one that is broken is noted.

    Only regular files `below` a folder count that changed after `written_after_s` (Unix time):
    what was committed is not what this run found.
    """
    total = failed = 0
    names: list[str] = []
    note, read = "", 0
    left = REPORT_BYTES_MAX
    for path in islice(paths, REPORTS_MAX):
        try:
            data = _read(path, left, written_after_s, below)
            cases = [] if data is None else parse_report(data)
        except UnreadableReport as error:
            note = note or f"{path.name}: {error}"[:NOTE_CHARS_MAX]
            continue
        if data is None:
            continue
        read += 1
        left -= len(data)
        total += len(cases)
        failing = [name for name, has_failed in cases if has_failed]
        failed += len(failing)
        names += failing[: FAILING_NAMES_MAX - len(names)]
    if not read:
        return TestReport(note=note)
    return TestReport(total, failed, names, note)


def parse_report(data: bytes) -> list[tuple[str, bool]]:
    """Return (classname::name, whether it failed) of each test that ran in a report.

    UnreadableReport for anything that is not a JUnit report, and for entities.
    """
    try:
        root: Element = fromstring(data, forbid_dtd=True)
    except DefusedXmlException as error:
        raise UnreadableReport(f"refused: {type(error).__name__}") from None
    except (ParseError, ValueError, LookupError, RecursionError) as error:
        raise UnreadableReport(f"no XML: {error}") from None
    if _tag(root) not in {"testsuites", "testsuite"}:
        raise UnreadableReport(f"no JUnit report: its root is <{_tag(root)[:40]}>")
    return list(_cases(root))


def sentence_of(tests_run: int | None, tests_failed: int | None, names: list[str]) -> str:
    """Return `3 of 120 tests failed: a, b, c`; empty where no report named a failing test."""
    if not tests_run or not tests_failed:
        return ""
    shown = ", ".join(names[:NAMES_IN_SENTENCE])
    more = (
        f" and {tests_failed - NAMES_IN_SENTENCE} more" if tests_failed > NAMES_IN_SENTENCE else ""
    )
    return f"{tests_failed} of {tests_run} tests failed: {shown}{more}"


def _cases(root: Element) -> Iterator[tuple[str, bool]]:
    for element in root.iter():
        if _tag(element) != "testcase":
            continue
        outcomes = {_tag(child) for child in element}
        if "skipped" in outcomes:
            continue
        yield _name(element), not outcomes.isdisjoint(_FAILED)


def _name(case: Element) -> str:
    class_name, name = case.get("classname", ""), case.get("name", "")
    joined = f"{class_name}::{name}" if class_name else name
    return " ".join(joined.replace("\0", "\ufffd").split())[:NAME_CHARS_MAX] or "(without a name)"


def _tag(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _read(path: Path, bytes_max: int, written_after_s: float, below: Path) -> bytes | None:
    """Return a report's bytes; None where this run did not write it."""
    descriptor = _open(path, below)
    if descriptor is None:
        return None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise UnreadableReport("is not a regular file")
        if found.st_mtime < written_after_s:
            return None
        if found.st_size > bytes_max:
            raise UnreadableReport(f"is larger than the {REPORT_BYTES_MAX} bytes of all reports")
        with os.fdopen(os.dup(descriptor), "rb") as report:
            return report.read(bytes_max)
    finally:
        os.close(descriptor)


def _open(path: Path, below: Path) -> int | None:
    try:
        if not path.resolve().is_relative_to(below.resolve()):
            raise UnreadableReport("leads out of its folder")
        # Neither a link nor a pipe that nobody writes may lead us away or hold us up.
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnreadableReport(f"cannot be read: {error.strerror}") from None
    except RuntimeError:
        raise UnreadableReport("is a link to itself") from None
