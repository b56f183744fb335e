"""The site served by its own web server: answers, headers, static files, foreign hosts."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator

import httpx
import pytest

from tests.support.web_guest import running_guest

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def site() -> Iterator[httpx.Client]:
    with running_guest("site") as (process, port):
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            yield client
        assert end_quietly(process) == (0, "")


def end_quietly(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Stop the site; return its exit code and all that it logged."""
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    return process.returncode, err


def test_health_answers_with_safe_headers(site: httpx.Client) -> None:
    response = site.get("/health")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert response.headers["x-frame-options"] == "DENY"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "same-origin"


def test_static_files_come_without_collecting_them(site: httpx.Client) -> None:
    style = site.get("/static/admin/css/base.css")
    script = site.get("/static/django_htmx/htmx-2.min.js")

    assert [style.status_code, script.status_code] == [200, 200]
    assert style.headers["content-type"].startswith("text/css")
    assert len(script.content) > 10_000


def test_login_page_sets_the_cookie_of_this_port(site: httpx.Client) -> None:
    response = site.get("/admin/login/")

    assert response.status_code == 200
    assert list(response.cookies) == ["voidlux_csrf_9091"]


@pytest.mark.parametrize("host", ["rebound.example", "localhost.evil.example"])
def test_foreign_host_name_is_refused(site: httpx.Client, host: str) -> None:
    assert site.get("/admin/login/", headers={"host": host}).status_code == 400


def test_websocket_of_an_unknown_path_is_refused(site: httpx.Client) -> None:
    headers = {
        "upgrade": "websocket",
        "connection": "Upgrade",
        "origin": "http://localhost:9091",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-version": "13",
    }

    assert site.get("/nowhere", headers=headers).status_code == 403
