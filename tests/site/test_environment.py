"""The environment: what is allowed, and the one line that a wrong value costs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from swarm.clean_env import clean_environment
from voidlux_site.environment import Environment, InvalidEnvironment, read_environment

ROOT = Path(__file__).resolve().parents[2]
NODE_ID = "0123456789abcdef0123456789abcdef"
PORT = "a whole number from 1 to 65535 is allowed"
SEEDS = "a comma list of host:port, IPv6 addresses in brackets, is allowed"
WORD = "a word of up to 64 of a-z, 0-9 and '._+-', a letter or digit first, is allowed"
PATHS = "a comma list of up to 32 absolute paths"
AMOUNT = "a whole number from 0 to 1000000000000 is allowed"
TLS = "'on', or 'off' where VOIDLUX_HOST is a loopback address, is allowed"
SECONDS = "a whole number of seconds from 1 to 86400 is allowed"
REVIEWER = (
    "'human', 'command' with VOIDLUX_REVIEW_COMMAND, or 'llm' with VOIDLUX_LLM_PROVIDER, is allowed"
)
FORGE = "an https:// URL, or http:// of a loopback address, is allowed"

NETWORKS = "a comma list of up to 32 IP addresses or networks such as 10.0.0.0/8 is allowed"

WRONG = [
    ("VOIDLUX_P2P_PORT", "abc", PORT),
    ("VOIDLUX_P2P_PORT", "0", PORT),
    ("VOIDLUX_HTTP_PORT", "65536", PORT),
    ("VOIDLUX_HOST", "a/b", "an IP address or a host name is allowed"),
    ("VOIDLUX_TIME_ZONE", "Mars/Olympus", "a time zone such as Europe/Berlin is allowed"),
    ("VOIDLUX_TIME_ZONE", "../passwd", "a time zone such as Europe/Berlin is allowed"),
    ("VOIDLUX_SEEDS", "a.example:1,b.example", SEEDS),
    ("VOIDLUX_SEEDS", "::1:7101", SEEDS),
    ("VOIDLUX_SEEDS", "a.example:0", SEEDS),
    ("VOIDLUX_DISCOVERY_PORT", "-1", "a whole number from 0 to 65535 is allowed"),
    ("VOIDLUX_DISCOVERY_PORT", "65536", "a whole number from 0 to 65535 is allowed"),
    ("VOIDLUX_SENESCHAL_HOLD_S", "-1", "a number of seconds from 0 to 3600 is allowed"),
    ("VOIDLUX_SENESCHAL_HELD_MAX", "10001", "a whole number from 0 to 10000 is allowed"),
    ("VOIDLUX_SENESCHAL_TRUSTED_PROXIES", "proxy.example", NETWORKS),
    ("VOIDLUX_SENESCHAL_TRUSTED_PROXIES", "10.0.0.1/8", NETWORKS),
    ("VOIDLUX_SWARM", "two words", WORD),
    ("VOIDLUX_SWARM", "..", WORD),
    ("VOIDLUX_NETWORK", "n" * 65, WORD),
    ("VOIDLUX_ROLE", "king", "'emperor' or 'worker' is allowed"),
    ("VOIDLUX_TEST_TIME_LIMIT_S", "0", SECONDS),
    ("VOIDLUX_TEST_WORKERS", "9", "a whole number from 1 to 8 is allowed"),
    ("VOIDLUX_BATCH_WAIT_S", "-1", "a number of seconds from 0 to 3600 is allowed"),
    ("VOIDLUX_TEST_NETWORK", "yes", "'0' or '1' is allowed"),
    ("VOIDLUX_UNSAFE_TEST_WITHOUT_SANDBOX", "on", "'0' or '1' is allowed"),
    (
        "VOIDLUX_TEST_SANDBOX_PATHS",
        "/opt,tools",
        "a comma list of up to 32 absolute paths is allowed",
    ),
    ("VOIDLUX_REVIEWER", "robot", REVIEWER),
    ("VOIDLUX_REVIEWER", "command", REVIEWER),
    ("VOIDLUX_REVIEW_TIME_LIMIT_S", "0", SECONDS),
    ("VOIDLUX_INITIAL_BALANCE", "-1", AMOUNT),
    ("VOIDLUX_INITIAL_BALANCE", "1000000000001", AMOUNT),
    ("VOIDLUX_PRICE_PER_TASK", "1.5", AMOUNT),
    ("VOIDLUX_AGENTS", "51", "a whole number from 0 to 50 is allowed"),
    ("VOIDLUX_MAX_CONCURRENT_TASKS", "51", "a whole number from 0 to 50 is allowed"),
    ("VOIDLUX_LOAD_PER_CORE_MAX", "much", "a number from 0 to 1000 is allowed"),
    ("VOIDLUX_MEMORY_FREE_MB_MIN", "-1", "a whole number from 0 to 10000000 is allowed"),
    ("VOIDLUX_SELL", "yes", "'on' or 'off' is allowed"),
    ("VOIDLUX_MESH_TLS", "no", TLS),
    ("VOIDLUX_RESERVATION_S", "0", SECONDS),
    ("VOIDLUX_WORK_DEADLINE_S", "59", "a whole number of seconds from 60 to 604800 is allowed"),
    ("VOIDLUX_OFFERING_TTL_S", "never", SECONDS),
    (
        "VOIDLUX_WORKTREES_MB_MAX",
        "-1",
        "a whole number of MB from 0 (no limit) to 10**9 is allowed",
    ),
    ("VOIDLUX_GITHUB_URL", "http://github.com", FORGE),
    ("VOIDLUX_GITLAB_URL", "gitlab.com", FORGE),
    ("VOIDLUX_FORGE_TIMEOUT_S", "0", "a whole number of seconds from 1 to 300 is allowed"),
    ("VOIDLUX_AUTO_MERGE", "yes", "'on' or 'off' is allowed"),
    ("VOIDLUX_REVIEW_FROM", "friends", "'writers' or 'anyone' is allowed"),
    ("VOIDLUX_PULL_REQUEST_LOOK_S", "4", "a whole number of seconds from 5 to 86400 is allowed"),
    ("VOIDLUX_LEASE_S", "9", "a whole number of seconds from 10 to 86400 is allowed"),
]


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VOIDLUX_HOME")


@pytest.mark.parametrize(("variable", "value", "allowed"), WRONG)
def test_wrong_value_is_named_in_one_line(
    variable: str, value: str, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(InvalidEnvironment) as refusal:
        read_environment()

    assert str(refusal.value) == f"{variable} is {value!r}: {allowed}"


@pytest.mark.parametrize(
    ("variable", "value", "begins"),
    [
        ("DATABASE_URL", "mysql://u:secret@h/d", "postgresql:// or sqlite://"),
        ("DATABASE_URL", "postgresql://u:secret@h:x/d", "postgresql:// or sqlite://"),
        ("REDIS_URL", "http://:secret@h", "redis:// or rediss://"),
    ],
)
def test_secret_value_is_not_echoed(
    variable: str, value: str, begins: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(InvalidEnvironment) as refusal:
        read_environment()

    assert (
        str(refusal.value)
        == f"{variable} is not allowed: a URL that begins with {begins} is allowed"
    )


@pytest.mark.parametrize("variable", ["VOIDLUX_GITHUB_TOKEN", "VOIDLUX_GITLAB_TOKEN"])
def test_the_token_of_a_forge_is_shown_nowhere(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "ghp_secret" * 100)
    with pytest.raises(InvalidEnvironment) as refusal:
        read_environment()
    assert str(refusal.value) == f"{variable} is not allowed: up to 512 characters is allowed"

    monkeypatch.setenv(variable, "ghp_secret")
    environment = read_environment()

    assert "ghp_secret" not in f"{environment!r} {environment} {environment.model_dump()}"
    assert "ghp_secret" not in str(clean_environment())


def test_a_password_in_the_url_of_a_forge_is_not_echoed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOIDLUX_GITHUB_URL", "https://user:pass@github.com")

    with pytest.raises(InvalidEnvironment) as refusal:
        read_environment()

    assert str(refusal.value) == f"VOIDLUX_GITHUB_URL is 'https://***@github.com': {FORGE}"


def test_the_secret_of_the_swarm_is_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOIDLUX_AUTH_SECRET", "fifteen letters")
    with pytest.raises(InvalidEnvironment) as refusal:
        read_environment()
    allowed = "a secret of at least 16 characters is allowed"
    assert str(refusal.value) == f"VOIDLUX_AUTH_SECRET is not allowed: {allowed}"

    monkeypatch.setenv("VOIDLUX_AUTH_SECRET", "sixteen letters!")
    environment = read_environment()

    assert environment.auth_secret.get_secret_value() == "sixteen letters!"
    assert "sixteen" not in f"{environment!r} {environment} {environment.model_dump()}"


def test_long_value_with_line_breaks_stays_one_short_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOIDLUX_SWARM", "a\n" * 5000)

    with pytest.raises(InvalidEnvironment) as refusal:
        read_environment()

    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 600


def test_defaults() -> None:
    assert read_environment().model_dump() == {
        "home": Path.cwd() / "data" / "7101",
        "p2p_port": 7101,
        "http_port": 9091,
        "host": "127.0.0.1",
        "seeds": (),
        "mesh_tls": "on",
        "discovery_port": 0,
        "swarm": "home",
        "auth_secret": SecretStr(""),
        "github_url": "https://github.com",
        "github_token": SecretStr(""),
        "gitlab_url": "https://gitlab.com",
        "gitlab_token": SecretStr(""),
        "forge_timeout_s": 20,
        "auto_merge": "off",
        "review_from": "writers",
        "pull_request_look_s": 300,
        "network": "galaxy",
        "role": "emperor",
        "emperor_heartbeat_s": 10.0,
        "emperor_stale_s": 30.0,
        "candidacy_s": 5.0,
        "candidate": "on",
        "seneschal_hold_s": 10.0,
        "seneschal_held_max": 200,
        "seneschal_trusted_proxies": (),
        "llm_provider": "",
        "llm_model": "",
        "llm_model_small": "",
        "llm_model_large": "",
        "llm_host": "",
        "llm_port": 0,
        "anthropic_api_key": SecretStr(""),
        "openai_api_key": SecretStr(""),
        "llm_time_limit_s": 120,
        "llm_tries": 3,
        "llm_output_tokens": 8192,
        "llm_token_limit": 0,
        "llm_cost_limit_usd": 0.0,
        "planner": "",
        "plan_approval": "auto",
        "plan_context_chars": 40_000,
        "model_small": "",
        "model_medium": "",
        "model_large": "",
        "model_xl": "",
        "test_command": "",
        "test_time_limit_s": 600,
        "test_workers": 1,
        "batch_wait_s": 0.0,
        "test_network": "0",
        "test_sandbox_paths": (),
        "unsafe_test_without_sandbox": "0",
        "sold_network": "1",
        "sold_sandbox_paths": (),
        "sell_without_sandbox": "1",
        "reviewer": "",
        "review_command": "",
        "review_time_limit_s": 300,
        "initial_balance": 1000,
        "allow_nodes": (),
        "price_per_task": 1,
        "hired_token_limit": 0,
        "hired_cost_limit_usd": 0.0,
        "agents": 0,
        "max_concurrent_tasks": 0,
        "load_per_core_max": 0.0,
        "memory_free_mb_min": 0,
        "agent_capabilities": (),
        "sell": "off",
        "reservation_s": 60,
        "work_deadline_s": 86_400,
        "offering_ttl_s": 300,
        "time_zone": "",
        "lease_s": 90,
        "worktrees_mb_max": 0,
        "allowed_hosts": (),
        "database_url": "",
        "redis_url": "",
    }


def test_lists_and_addresses_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOIDLUX_SEEDS", "127.0.0.1:7102, [::1]:7103,seed.example:7104,")
    monkeypatch.setenv("VOIDLUX_ALLOW_NODES", NODE_ID)
    monkeypatch.setenv("VOIDLUX_AGENT_CAPABILITIES", "python, c++")
    monkeypatch.setenv("VOIDLUX_ALLOWED_HOSTS", ".example.org,::1")
    monkeypatch.setenv("VOIDLUX_SELL", "on")
    monkeypatch.setenv("VOIDLUX_TEST_COMMAND", "make test")

    environment = read_environment()

    assert environment.seeds == (("127.0.0.1", 7102), ("::1", 7103), ("seed.example", 7104))
    assert environment.seeds[0].port == 7102
    assert environment.allow_nodes == (NODE_ID,)
    assert environment.agent_capabilities == ("python", "c++")
    assert environment.allowed_hosts == (".example.org", "[::1]")
    assert environment.sells is True
    assert environment.test_command == "make test"


def test_networks_of_trusted_proxies_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOIDLUX_SENESCHAL_TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8,::1")

    assert [str(each) for each in read_environment().trusted_proxies] == [
        "127.0.0.1/32",
        "10.0.0.0/8",
        "::1/128",
    ]


def test_home_follows_the_port_and_is_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOIDLUX_P2P_PORT", "8000")
    assert read_environment().home == Path.cwd() / "data" / "8000"

    monkeypatch.setenv("VOIDLUX_HOME", "somewhere")
    assert read_environment().home == Path.cwd() / "somewhere"


def test_empty_value_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Environment.model_fields:
        monkeypatch.setenv(f"VOIDLUX_{field.upper()}", "")

    assert read_environment().p2p_port == 7101


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_tls_may_be_off_on_loopback(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOIDLUX_HOST", host)
    monkeypatch.setenv("VOIDLUX_MESH_TLS", "off")

    assert read_environment().mesh_tls == "off"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "node.example"])
def test_tls_stays_on_beyond_loopback(host: str) -> None:
    result = run_manage(["runnode"], VOIDLUX_HOST=host, VOIDLUX_MESH_TLS="off")

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"VOIDLUX_MESH_TLS is 'off': {TLS}\n"


@pytest.mark.parametrize("arguments", [["check"], ["migrate"], ["--help"], ["runnode"]])
def test_manage_ends_with_one_line_and_code_2(arguments: list[str]) -> None:
    result = run_manage(arguments, VOIDLUX_P2P_PORT="abc")

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"VOIDLUX_P2P_PORT is 'abc': {PORT}\n"


def test_home_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    home = tmp_path / "file" / "home"

    result = run_manage(["migrate"], VOIDLUX_HOME=str(home))

    allowed = "a directory that this user may create and write is allowed"
    assert result.returncode == 2
    assert result.stderr == f"VOIDLUX_HOME is '{home}': {allowed} (Not a directory)\n"


def test_celery_ends_with_one_line_and_code_2() -> None:
    result = run_python(
        ["-m", "celery", "-A", "voidlux_site", "inspect", "ping"], VOIDLUX_AGENTS="many"
    )

    allowed = "a whole number from 0 to 50 is allowed"
    assert (result.returncode, result.stderr) == (2, f"VOIDLUX_AGENTS is 'many': {allowed}\n")


def run_manage(arguments: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    return run_python(["manage.py", *arguments], **variables)


def run_python(arguments: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("host", "given", "port"),
    [
        ("127.0.0.1", "", 0),
        ("localhost", "", 0),
        ("::1", "", 0),
        ("127.0.0.1", "6200", 6200),
        ("0.0.0.0", "", 6101),
        ("192.0.2.7", "", 6101),
        ("192.0.2.7", "0", 0),
    ],
)
def test_a_node_that_only_its_machine_can_dial_sends_no_beacon_by_itself(
    host: str, given: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOIDLUX_HOST", host)
    monkeypatch.setenv("VOIDLUX_DISCOVERY_PORT", given)

    assert read_environment().discovery_port == port
