"""JUnit reports as tools write them, and as nobody should."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from swarm.gate import junit
from swarm.gate.junit import TestReport, UnreadableReport, parse_report, read_reports, sentence_of

PYTEST = b"""<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests">
<testsuite name="pytest" errors="1" failures="1" skipped="1" tests="4" time="0.04" hostname="x">
<testcase classname="tests.test_a" name="test_good" time="0.001" />
<testcase classname="tests.test_a" name="test_bad[1-\xc3\xa9]" time="0.001">
<failure message="assert 1 == 2">def test_bad(): assert 1 == 2</failure></testcase>
<testcase classname="tests.test_b" name="test_set_up"><error message="x">boom</error></testcase>
<testcase classname="tests.test_b" name="test_later"><skipped type="pytest.skip" /></testcase>
</testsuite></testsuites>"""
GRADLE = b"""<?xml version="1.0" encoding="UTF-8"?>
<testsuite name="org.acme.BrakeTest" tests="2" skipped="0" failures="1" errors="0" time="0.01">
  <properties/>
  <testcase name="stops()" classname="org.acme.BrakeTest" time="0.006">
    <failure message="expected: &lt;0&gt;" type="AssertionFailedError">at BrakeTest</failure>
  </testcase>
  <testcase name="holds()" classname="org.acme.BrakeTest" time="0.001"/>
  <system-out><![CDATA[]]></system-out>
</testsuite>"""
NESTED = b"""<testsuites xmlns="urn:x"><testsuite><testsuite><testcase name="a"/></testsuite>
<testcase name=""><error/></testcase></testsuite></testsuites>"""
BOMB = b"""<?xml version="1.0"?><!DOCTYPE testsuites [<!ENTITY a "aaaaaaaaaa">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><testsuites><testcase name="&b;"/></testsuites>"""
FILE_ENTITY = b"""<!DOCTYPE testsuites [<!ENTITY a SYSTEM "file:///etc/passwd">]>
<testsuites><testcase name="&a;"/></testsuites>"""


def test_what_pytest_writes() -> None:
    assert parse_report(PYTEST) == [
        ("tests.test_a::test_good", False),
        ("tests.test_a::test_bad[1-\u00e9]", True),
        ("tests.test_b::test_set_up", True),
    ]


def test_what_gradle_writes() -> None:
    assert parse_report(GRADLE) == [
        ("org.acme.BrakeTest::stops()", True),
        ("org.acme.BrakeTest::holds()", False),
    ]


def test_nested_suites_and_a_test_without_a_name() -> None:
    assert parse_report(NESTED) == [("a", False), ("(without a name)", True)]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no XML"),
        (PYTEST[:300], "no XML"),
        (b"\xff\xfe\x00", "no XML"),
        (b'<?xml version="1.0" encoding="klingon"?><testsuites/>', "no XML"),
        (b"<html/>", "no JUnit report: its root is <html>"),
        (BOMB, "refused: DTDForbidden"),
        (FILE_ENTITY, "refused: DTDForbidden"),
    ],
)
def test_what_is_no_report_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(UnreadableReport, match=why):
        parse_report(data)


def _written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def _read(folder: Path, *paths: Path, after_s: float = 0.0) -> TestReport:
    return read_reports(paths, written_after_s=after_s, below=folder)


def test_several_reports_are_added_up_and_a_broken_one_is_noted(tmp_path: Path) -> None:
    good = _written(tmp_path, "a.xml", PYTEST), _written(tmp_path, "b.xml", GRADLE)
    broken = _written(tmp_path, "broken.xml", b"<testsuites>")

    report = _read(tmp_path, broken, *good)

    assert (report.tests_run, report.tests_failed) == (5, 3)
    assert report.failing_tests[-1] == "org.acme.BrakeTest::stops()"
    assert report.note.startswith("broken.xml: no XML: ")


def test_fifty_thousand_tests_are_counted_and_few_are_named(tmp_path: Path) -> None:
    cases = "".join(
        f'<testcase classname="c" name="{number}-{"n" * 400}"><failure/></testcase>'
        if number % 100 == 0
        else f'<testcase classname="c" name="{number}"/>'
        for number in range(50_000)
    )
    path = _written(tmp_path, "r.xml", f"<testsuite>{cases}</testsuite>".encode())

    report = _read(tmp_path, path)

    assert (report.tests_run, report.tests_failed) == (50_000, 500)
    assert len(report.failing_tests) == 200
    assert {len(name) for name in report.failing_tests} == {300}


def test_too_much_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(junit, "REPORT_BYTES_MAX", len(PYTEST) + 10)
    first, second = _written(tmp_path, "a.xml", PYTEST), _written(tmp_path, "b.xml", GRADLE)

    report = _read(tmp_path, first, second)

    assert report.tests_run == 3
    limit = len(PYTEST) + 10
    assert report.note == f"b.xml: is larger than the {limit} bytes of all reports"


def test_what_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "worktree"
    folder.mkdir()
    outside = _written(tmp_path, "outside.xml", PYTEST)
    (folder / "link.xml").symlink_to(outside)
    (folder / "inner.xml").symlink_to(folder / "real.xml")
    _written(folder, "real.xml", PYTEST)
    os.mkfifo(folder / "pipe.xml")
    (folder / "loop.xml").symlink_to(folder / "loop.xml")
    (folder / "folder.xml").mkdir()

    notes = {
        name: _read(folder, folder / f"{name}.xml").note
        for name in ("link", "inner", "pipe", "folder", "loop")
    }

    assert notes == {
        "link": "link.xml: leads out of its folder",
        "inner": "inner.xml: cannot be read: Too many levels of symbolic links",
        "pipe": "pipe.xml: is not a regular file",
        "folder": "folder.xml: is not a regular file",
        "loop": "loop.xml: is a link to itself",
    }


def test_a_report_that_was_committed_is_not_what_this_run_found(tmp_path: Path) -> None:
    old = _written(tmp_path, "old.xml", PYTEST)
    os.utime(old, (100, 100))

    assert _read(tmp_path, old, after_s=101) == TestReport()
    assert _read(tmp_path, tmp_path / "none.xml") == TestReport()


def test_a_sentence_names_the_first_three() -> None:
    names = ["a", "b", "c", "d"]

    assert sentence_of(120, 3, names[:3]) == "3 of 120 tests failed: a, b, c"
    assert sentence_of(120, 4, names) == "4 of 120 tests failed: a, b, c and 1 more"
    assert sentence_of(120, 0, []) == ""
    assert sentence_of(None, None, []) == ""
