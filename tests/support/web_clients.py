"""Django test clients as the API's bearer and as a logged-in operator."""

from __future__ import annotations

from typing import Any

from django.test import Client

from p2p.clock import now_utc
from voidlux_site.access import api_token, new_login_path


def bearer_client() -> Client:
    """Return a client that sends the node's API token."""
    return Client(headers={"authorization": f"Bearer {api_token()}"})


def operator_client(**options: Any) -> Client:
    """Return a client that used a login link."""
    client = Client(**options)
    response = client.get(new_login_path(now_utc()))
    assert response.status_code == 302
    return client


def post_json(client: Client, path: str, body: Any, **headers: str) -> Any:
    """Post a JSON body with extra headers."""
    return client.post(path, body, content_type="application/json", headers=headers)
