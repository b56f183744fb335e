"""The output of a test run on the dashboard of a real node, while it comes and afterwards."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.git_remote import GitRemote

pytestmark = [pytest.mark.browser, pytest.mark.processes]

SOON_MS = 30_000
OUTLINE = """# {title}
- [ ] Put the lens in
  ```sh
  echo glass > lens.txt
  ```
"""
FITS = "each => each.scrollWidth <= each.clientWidth"
# Every step waits for a file, so that nothing passes by before it was looked at.
SCRIPT = """
wait_for() { while ! test -e "$1"; do sleep 0.05; done; }
printf 'collecting \\033[32mlenses\\033[0m <img src=x onerror=alert(1)>\\n'
wait_for {folder}/second
i=0; while test $i -lt 200; do i=$((i+1)); echo "lens $i is \\303\\251clair\\303\\251e"; done
wait_for {folder}/third
cat > "$VOIDLUX_JUNIT" <<'END'
<testsuite><testcase classname="optics" name="focus"><failure/></testcase>
<testcase classname="optics" name="shine"/></testsuite>
END
echo 'one lens is dull'
exit 1
"""


@pytest.fixture
def steps(tmp_path: Path) -> Callable[[str], None]:
    """Let the running test go on to a step."""
    return lambda name: (tmp_path / name).touch()


def _submit(page: Page, folder: Path, title: str) -> None:
    remote = GitRemote(folder)
    script = folder / "test.sh"
    script.write_text(SCRIPT.replace("{folder}", str(folder)))
    settings = f'[test]\ncommand = "sh {script}"\ntime_limit_s = 120\n'
    remote.push("main", {"README": "optics\n", ".voidlux.toml": settings})
    page.get_by_role("button", name="New goal").click()
    page.get_by_label("Outline").fill(OUTLINE.format(title=title))
    page.get_by_label("Repository").fill(str(remote.path))
    page.get_by_role("button", name="Submit goal").click()
    card = page.locator("article", has_text=title)
    card.get_by_role("button", name=title).click()


def test_the_output_is_followed_until_the_verdict(
    page: Page,
    steps: Callable[[str], None],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    shots = tmp_path_factory.mktemp("shots")
    _submit(page, tmp_path, "Polish the telescope")
    dialog = page.locator("#dialog")
    live = dialog.locator("[data-log]").first
    screen = live.locator(".screen")

    expect(screen).to_contain_text("collecting lenses <img src=x", timeout=SOON_MS)
    expect(live.locator("[data-log-state]")).to_have_text("live")
    expect(screen.locator(".ink-2")).to_have_text("lenses")
    expect(dialog).to_contain_text("named by .voidlux.toml")

    steps("second")
    expect(screen).to_contain_text("lens 200 is \u00e9clair\u00e9e")
    at_end = "each => each.scrollHeight - each.scrollTop - each.clientHeight < 24"
    assert screen.evaluate(at_end), "the last line is followed"
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 900})
        screen.scroll_into_view_if_needed()
        page.screenshot(path=shots / f"running-{width}.png")
        assert dialog.locator(".facts-part").evaluate(FITS)

    steps("third")
    tests = dialog.locator(".tests > li")
    ended = tests.filter(has_text="1 of 2 tests failed").first
    expect(ended.locator(".failing")).to_have_text("optics::focus", timeout=SOON_MS)
    expect(ended.locator(".badge")).to_have_text("failed")
    # Nothing is drawn anew from here on.
    expect(dialog.locator(".state-line .badge")).to_have_text("failed", timeout=SOON_MS)
    ended.get_by_text("Output", exact=True).click()
    expect(ended.locator("pre")).to_contain_text("one lens is dull")
    expect(ended.get_by_role("link", name="Whole log")).to_have_attribute(
        "href", re.compile(r"^/api/swarm/test-runs/\d+/log$")
    )
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 900})
        ended.scroll_into_view_if_needed()
        page.screenshot(path=shots / f"ended-{width}.png")
        assert dialog.locator(".facts-part").evaluate(FITS)
