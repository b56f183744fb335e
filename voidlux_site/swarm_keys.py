"""Keys that all members of a swarm have in common: made from its secret, one per purpose.

What one member signed is then good at every other one, without a word between them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voidlux_site.environment import Environment

SESSIONS = "sessions"
API_TOKEN = "api-token"
COOKIE_NAMES = "cookie-names"
# Tells a file that follows the secret from one that the node drew for itself.
SWARM_PREFIX = "swarm."
# Whoever holds a key made for one purpose, network and swarm learns nothing of any other.
_DOMAIN = "voidlux/site/1"


def swarm_key(purpose: str, *, secret: str, network: str, swarm: str) -> str:
    """Return the swarm's key for `purpose`: SWARM_PREFIX and 43 URL-safe characters.

    Empty without a secret.
    """
    if not secret:
        return ""
    # None of these names can hold a zero byte, so that no two lists of them look alike.
    info = "\0".join((_DOMAIN, purpose, network, swarm))
    digest = hmac.new(secret.encode(), info.encode(), hashlib.sha256).digest()
    return SWARM_PREFIX + base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def key_of(environment: Environment, purpose: str) -> str:
    """Return the key for `purpose` of the swarm that a node is told to belong to."""
    return swarm_key(
        purpose,
        secret=environment.auth_secret.get_secret_value(),
        network=environment.network,
        swarm=environment.swarm,
    )


def cookie_suffix(environment: Environment) -> str:
    """Return what ends the names of this node's cookies.

    Cookies ignore ports: two nodes on one machine must not log each other's users out, and
    members of one swarm must find each other's cookies.
    """
    key = key_of(environment, COOKIE_NAMES).removeprefix(SWARM_PREFIX)
    return key[:8] or str(environment.http_port)
