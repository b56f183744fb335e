from __future__ import annotations

import logging

import pytest

from p2p.mesh.conduct import Conduct, Scores, host_key, points_of
from p2p.protocol.limits import NEWS_MAX, SCORES_MAX

NODE, OTHER = "a" * 32, "b" * 32


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("127.0.0.1", ""),
        ("127.9.9.9", ""),
        ("::1", ""),
        ("::ffff:127.0.0.1", ""),
        ("", ""),
        ("a.example", ""),
    ],
)
def test_under_what_a_host_is_judged(host: str, key: str) -> None:
    assert host_key(host) == key


@pytest.mark.parametrize(
    ("reason", "points"),
    [
        ("bad_signature", 60.0),
        ("malformed", 25.0),
        ("a_reason_of_tomorrow", 25.0),
        ("handshake_timeout", 5.0),
        ("wrong_network", 0.0),
        ("tls_mismatch", 0.0),
        ("banned", 0.0),
    ],
)
def test_faults_weigh_as_much_as_they_mean(reason: str, points: float) -> None:
    assert points_of(reason) == points


def test_a_score_recovers_without_faults() -> None:
    clock = Clock()
    scores = Scores(clock)

    assert [scores.fault(NODE, 20.0), scores.score(NODE)] == [0.0, -20.0]
    clock.now += 50
    assert scores.score(NODE) == -15.0
    assert [scores.fault(NODE, 20.0), scores.score(NODE)] == [0.0, -35.0]
    clock.now += 351
    assert scores.score(NODE) == 0.0
    assert scores.score(OTHER) == 0.0


def test_bans_double_from_a_minute_to_an_hour_and_are_forgotten_after_a_day() -> None:
    clock = Clock()
    scores = Scores(clock)
    bans = []
    for _ in range(8):
        assert scores.fault(NODE, 50.0) in (0.0, *bans)
        while not (ban_s := scores.fault(NODE, 50.0)):
            pass
        bans.append(ban_s)
        assert scores.banned_s(NODE) == ban_s
        assert scores.fault(NODE, 50.0) == 0.0  # while it lasts it does not grow
        clock.now += ban_s
        assert scores.banned_s(NODE) == 0.0
        clock.now += 1_000

    assert bans == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    clock.now += 86_401
    assert scores.fault(NODE, 100.0) == 60.0


def test_the_memory_is_bounded() -> None:
    scores, conduct = Scores(Clock()), Conduct(Clock())
    for number in range(SCORES_MAX + 10):
        scores.fault(f"{number}", 20.0)
        conduct.is_news(f"{number}", "malformed")

    assert len(scores) == SCORES_MAX
    assert (scores.score("9"), scores.score("10")) == (0.0, -20.0)
    assert len(conduct._named) == NEWS_MAX


def test_a_ban_is_named_once_and_touches_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    conduct = Conduct(Clock())
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            conduct.fault("bad_signature", node_id=NODE, host="192.0.2.7")
            conduct.fault("not_canonical", node_id="", host="127.0.0.1")

    assert conduct.banned_s(node_id=NODE, host="192.0.2.8") == 60.0
    assert conduct.banned_s(node_id=OTHER, host="192.0.2.7") == 0.0
    assert conduct.banned_s(host="127.0.0.1") == 0.0
    assert [each.getMessage() for each in caplog.records] == [
        f"{NODE} is banned for 60 s, the last fault was bad_signature"
    ]


def test_who_proves_nothing_is_judged_by_host() -> None:
    conduct = Conduct(Clock())
    for _ in range(5):
        conduct.fault("not_canonical", node_id="", host="2001:db8::1")

    assert conduct.banned_s(host="2001:db8::ffff") == 60.0
    assert conduct.banned_s(node_id=NODE) == 0.0


def test_the_same_fault_is_news_again_after_ten_minutes() -> None:
    clock = Clock()
    conduct = Conduct(clock)

    assert conduct.is_news(NODE, "idle")
    assert conduct.is_news(NODE, "malformed")
    clock.now += 599
    assert not conduct.is_news(NODE, "idle")
    clock.now += 2
    assert conduct.is_news(NODE, "idle")
    assert not conduct.is_news(NODE, "idle")
