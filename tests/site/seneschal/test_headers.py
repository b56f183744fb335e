"""Which headers a proxy hands on, and where a Seneschal listens."""

from __future__ import annotations

import pytest

from voidlux_site.seneschal.defaults import take_defaults
from voidlux_site.seneschal.headers import NotText, add_forwarded, add_via, passed_on


def test_headers_that_connection_names_go_wherever_it_stands() -> None:
    raw = [
        (b"X-A", b"1"),
        (b"connection", b"close, x-a"),
        (b"Connection", b" X-B "),
        (b"x-b", b"2"),
        (b"X-C", b"3"),
    ]

    assert list(passed_on(raw).items()) == [("X-C", "3")]


def test_other_bytes_than_utf8_are_refused() -> None:
    with pytest.raises(NotText) as refusal:
        passed_on([(b"X-A", b"\xff")])

    assert str(refusal.value) == "a header is not UTF-8: b'\\xff'"


def test_via_is_added_behind_those_before() -> None:
    headers = passed_on([(b"Via", b"1.0 first")])

    add_via(headers)

    assert headers["Via"] == "1.0 first, 1.1 seneschal"


def test_a_request_without_host_names_none() -> None:
    headers = passed_on([])

    add_forwarded(headers, peer="::1", scheme="http", trusted=())

    assert dict(headers) == {
        "X-Forwarded-For": "::1",
        "X-Forwarded-Proto": "http",
        "Via": "1.1 seneschal",
    }


@pytest.mark.parametrize(
    ("arguments", "given", "wanted"),
    [
        ([], {}, ("7100", "9090")),
        ([], {"VOIDLUX_P2P_PORT": "", "VOIDLUX_HTTP_PORT": "8080"}, ("7100", "8080")),
        (["--p2p-port", "7200"], {"VOIDLUX_P2P_PORT": "7300"}, ("7200", "9090")),
        (["--http-port=8000"], {}, ("7100", "8000")),
        (["--http-port"], {}, ("7100", "9090")),
    ],
)
def test_options_come_before_variables_and_variables_before_defaults(
    arguments: list[str], given: dict[str, str], wanted: tuple[str, str]
) -> None:
    environ = dict(given)

    take_defaults(arguments, environ)

    assert (environ["VOIDLUX_P2P_PORT"], environ["VOIDLUX_HTTP_PORT"]) == wanted
