from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.test import Client

from p2p.local import local_node
from p2p.models import NodeState
from tests.support.web_clients import operator_client
from voidlux_site.access import (
    LOGIN_LINK_TTL_S,
    api_token,
    bearer_of,
    is_api_token,
    new_login_path,
    use_login_token,
)
from voidlux_site.operator import operator

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def _token(path: str) -> str:
    return path.removeprefix("/login/")


def test_the_api_token_is_private_and_stays_the_same() -> None:
    first, second = api_token(), api_token()

    path = local_node().home / "api-token"
    assert first == second == path.read_text("ascii")
    assert len(first) == 43
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("candidate", ["", "x", "ä" * 43])
def test_another_token_is_not_the_api_token(candidate: str) -> None:
    assert not is_api_token(candidate)


@pytest.mark.parametrize(
    ("header", "token"),
    [("Bearer abc", "abc"), ("bearer abc", "abc"), ("Basic abc", ""), ("", ""), ("Bearer", "")],
)
def test_bearer_of_takes_only_bearer_tokens(header: str, token: str) -> None:
    assert bearer_of(header) == token


def test_a_login_link_works_once(db: None) -> None:
    token = _token(new_login_path(NOW))

    user = use_login_token(token, NOW)
    again = use_login_token(token, NOW)

    assert user is not None
    assert (user.username, user.is_staff, user.is_superuser) == ("operator", True, True)
    assert not user.has_usable_password()
    assert again is None


@pytest.mark.parametrize(("age_s", "good"), [(0, True), (599, True), (600, False), (9999, False)])
def test_a_login_link_is_good_for_ten_minutes(db: None, age_s: int, good: bool) -> None:
    token = _token(new_login_path(NOW))

    user = use_login_token(token, NOW + timedelta(seconds=age_s))

    assert LOGIN_LINK_TTL_S == 600
    assert (user is not None) == good


def test_a_link_that_was_changed_is_refused_and_leaves_nothing(db: None) -> None:
    nonce, expires_at, signature = _token(new_login_path(NOW)).split(".")
    later = str(int(expires_at) + 600)
    changed = [
        f"{nonce}.{later}.{signature}",
        f"x{nonce}.{expires_at}.{signature}",
        f"{nonce}.{expires_at}.{signature[:-1]}",
        f"{nonce}.{expires_at}",
        "",
        ".",
        "ä",
        "9999999999999999999",
    ]

    assert [use_login_token(token, NOW) for token in changed] == [None] * 8
    assert not NodeState.objects.filter(key__startswith="login:").exists()


def test_an_unused_link_leaves_nothing_and_of_a_used_one_the_hash(db: None) -> None:
    token = _token(new_login_path(NOW))
    assert not NodeState.objects.filter(key__startswith="login:").exists()

    use_login_token(token, NOW)

    rows = NodeState.objects.filter(key__startswith="login:")

    assert [token in row.key or token in row.value for row in rows] == [False]


def test_a_used_link_is_forgotten_when_it_would_be_too_old(db: None) -> None:
    for moment in (NOW, NOW + timedelta(hours=1)):
        assert use_login_token(_token(new_login_path(moment)), moment) is not None

    assert NodeState.objects.filter(key__startswith="login:").count() == 1


def test_a_link_logs_the_browser_in_and_leads_to_the_dashboard(db: None) -> None:
    client = operator_client()

    response = client.get("/")

    assert response.status_code == 200


def test_a_used_link_explains_how_to_get_another(db: None) -> None:
    path = new_login_path()
    Client().get(path)

    response = Client().get(path)

    assert response.status_code == 410
    assert b"This link is used up" in response.content
    assert b"python manage.py loginlink" in response.content
    assert Client().get("/").status_code == 302


def test_logging_out_takes_a_post_and_ends_the_session(db: None) -> None:
    client = operator_client()

    assert client.get("/logout").status_code == 405
    assert client.post("/logout").headers["Location"] == "/login"
    assert client.get("/").headers["Location"] == "/login"


def test_the_command_prints_a_link_that_works(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("loginlink")

    url = capsys.readouterr().out.strip()
    assert url.startswith("http://127.0.0.1:9091/login/")
    assert Client().get(url.removeprefix("http://127.0.0.1:9091")).headers["Location"] == "/"


def test_the_command_prints_a_link_to_another_address(
    db: None, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("loginlink", "--at", "https://swarm.example:9090/")

    url = capsys.readouterr().out.strip()
    assert url.startswith("https://swarm.example:9090/login/")


@pytest.mark.parametrize(
    "at",
    ["swarm.example", "ftp://swarm.example", "http://", "http://a:99999", "http://a/b?c", "//a"],
)
def test_the_command_refuses_what_is_no_address(at: str) -> None:
    with pytest.raises(CommandError, match="a URL such as"):
        call_command("loginlink", "--at", at)


def test_the_operator_is_made_good_again(db: None) -> None:
    made = User.objects.create_user("operator", password="a word that somebody set")

    assert operator().id == made.id
    assert not operator().has_usable_password()


def test_a_deactivated_operator_stays_out(db: None) -> None:
    client = operator_client()
    User.objects.filter(username="operator").update(is_active=False)

    assert client.get("/").headers["Location"] == "/login"


def test_the_session_is_bounded_and_closed_to_scripts(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = operator_client()

    cookie = client.cookies["voidlux_session_9091"]

    assert (cookie["httponly"], cookie["samesite"], cookie["max-age"]) == (True, "Lax", 259_200)
    later_s = time.time() + 259_201
    monkeypatch.setattr("django.core.signing.time.time", lambda: later_s)
    assert client.get("/").headers["Location"] == "/login"


def test_a_header_that_anybody_may_send_says_nothing_about_tls(db: None) -> None:
    client = Client(headers={"x-forwarded-proto": "https"})

    client.get(new_login_path())

    assert client.cookies["voidlux_session_9091"]["secure"] == ""


@pytest.mark.parametrize("path", ["/", "/admin/"])
def test_a_user_of_this_node_alone_logs_in_by_password(db: None, path: str) -> None:
    User.objects.create_superuser("anna", password="a long enough word")
    client = Client()

    client.post("/admin/login/", {"username": "anna", "password": "a long enough word"})

    assert client.get(path).status_code == 200
    assert b"anna" in client.get("/admin/").content.lower()


@pytest.mark.django_db(transaction=True)
def test_of_two_that_use_a_link_at_once_one_gets_in() -> None:
    token, together = _token(new_login_path(NOW)), threading.Barrier(2)

    def use(_: int) -> bool:
        together.wait(timeout=10)
        try:
            return use_login_token(token, NOW) is not None
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        entered = list(pool.map(use, range(2)))

    assert sorted(entered) == [False, True]
