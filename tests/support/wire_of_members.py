"""The way from one simulated member's web side to another's: a function call instead of HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.test import Client

from tests.support.cluster import Cluster, SimNode
from voidlux_site.forwarding.courier import Letter, Reply


@dataclass
class Wire:
    """Hands letters to one node, or fails as `error` says; keeps what it was given."""

    cluster: Cluster
    to: SimNode
    error: Exception | None = None
    carried: list[tuple[str, Letter]] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)

    def carry(self, base_url: str, letter: Letter) -> Reply:
        """Stand for `voidlux_site.forwarding.courier.carry`."""
        self.carried.append((base_url, letter))
        if self.error is not None:
            raise self.error
        headers = {name.lower(): value for name, value in letter.headers.items()}
        client = Client(enforce_csrf_checks=True)
        with self.cluster.acting(self.to):
            response = client.generic(
                letter.method,
                letter.path,
                letter.body,
                content_type=headers.pop("content-type", ""),
                headers=headers,
            )
        reply = Reply(
            response.status_code,
            {name.lower(): value for name, value in response.headers.items()},
            response.content,
        )
        self.replies.append(reply)
        return reply

    @property
    def paths(self) -> list[str]:
        """Method and path of what was carried."""
        return [f"{letter.method} {letter.path}" for _, letter in self.carried]
