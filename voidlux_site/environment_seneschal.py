"""Variables of the Seneschal: how long requests wait for an emperor, and whom it believes."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode

from voidlux_site.environment_types import _split

HOLD_S_MAX = 3600.0
HELD_MAX = 10_000

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


def _check_network(text: str) -> str:
    return str(ipaddress.ip_network(text, strict=True))


Networks = Annotated[
    tuple[Annotated[str, AfterValidator(_check_network)], ...], NoDecode, BeforeValidator(_split)
]


class SeneschalVariables(BaseSettings):
    """How the Seneschal treats requests."""

    seneschal_hold_s: float = Field(
        default=10.0,
        ge=0.0,
        le=HOLD_S_MAX,
        description=f"a number of seconds from 0 to {HOLD_S_MAX:.0f}",
    )
    seneschal_held_max: int = Field(
        default=200, ge=0, le=HELD_MAX, description=f"a whole number from 0 to {HELD_MAX}"
    )
    seneschal_trusted_proxies: Networks = Field(
        default=(),
        max_length=32,
        description="a comma list of up to 32 IP addresses or networks such as 10.0.0.0/8",
    )

    @property
    def trusted_proxies(self) -> tuple[IpNetwork, ...]:
        """The networks whose X-Forwarded-* headers the Seneschal hands on."""
        return tuple(ipaddress.ip_network(each) for each in self.seneschal_trusted_proxies)
