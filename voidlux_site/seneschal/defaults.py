"""Where a Seneschal listens unless it is told: not where a node does."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence

COMMAND = "runseneschal"
DEFAULTS = {
    "--p2p-port": ("VOIDLUX_P2P_PORT", "7100"),
    "--http-port": ("VOIDLUX_HTTP_PORT", "9090"),
}


def take_defaults(arguments: Sequence[str], environ: MutableMapping[str, str]) -> None:
    """Put the ports of options and defaults into the environment, before anybody reads it.

    `arguments` is the command line without the program; the home is named after the p2p port.
    """
    for option, (variable, default) in DEFAULTS.items():
        given = _value_of(option, arguments)
        if given is not None:
            environ[variable] = given
        elif not environ.get(variable):
            environ[variable] = default


def _value_of(option: str, arguments: Sequence[str]) -> str | None:
    for number, each in enumerate(arguments):
        if each.startswith(f"{option}="):
            return each.partition("=")[2]
        if each == option and number + 1 < len(arguments):
            return arguments[number + 1]
    return None
