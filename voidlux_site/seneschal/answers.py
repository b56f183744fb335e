"""What the Seneschal says itself where it has nothing to pass on."""

from __future__ import annotations

import html
import json
from http import HTTPStatus

from aiohttp import web

from voidlux_site.seneschal.limits import RETRY_AFTER_S

PROBLEM = "application/problem+json"
POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
STYLE = """
:root { color-scheme: light dark; --page: #f5f3ee; --surface: #fffefb; --line: #dcd7cb;
  --ink: #15171f; --ink-2: #565a66; --star: #f6cf7d; --sky: #07080d; --sky-ink: #ece8dc; }
@media (prefers-color-scheme: dark) { :root { --page: #0b0c12; --surface: #12141c;
  --line: #262a38; --ink: #ece8dc; --ink-2: #a8abb9; } }
* { box-sizing: border-box; } body { margin: 0; background: var(--page); color: var(--ink);
  font: 0.9375rem/1.5 ui-sans-serif, system-ui, -apple-system, "Segoe UI", sans-serif;
  font-variant-numeric: tabular-nums; }
header { background: var(--sky); color: var(--sky-ink); padding: 1rem 1.25rem; }
header b { color: var(--star); } h1 { font-size: 1.0625rem; margin: 0 0 0.5rem; }
main { width: min(40rem, 100% - 2rem); margin: 1.25rem auto; padding: 1.25rem;
  background: var(--surface); border: 1px solid var(--line); border-radius: 10px; }
p { margin: 0 0 0.5rem; color: var(--ink-2); }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left;
  padding: 0.3rem 0.6rem 0.3rem 0; border-top: 1px solid var(--line); overflow-wrap: anywhere; }
th { font-weight: 400; color: var(--ink-2); width: 38%; }
"""
NO_STORE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def refusal(
    request: web.BaseRequest, status: HTTPStatus, code: str, detail: str, *, retry: bool = False
) -> web.Response:
    """Return a page for browsers, a problem for programs; `retry` says when to come again."""
    headers = {**NO_STORE, **({"Retry-After": str(RETRY_AFTER_S)} if retry else {})}
    if "text/html" in request.headers.get("Accept", ""):
        text = f"<h1>{status.phrase}</h1><p>{html.escape(detail)}</p>"
        if retry:
            text += "<p>This page looks again by itself.</p>"
        return page(status.phrase, text, status=status, headers=headers, refresh=retry)
    body = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "code": code,
    }
    return web.json_response(body, status=status, headers=headers, content_type=PROBLEM)


def page(
    title: str,
    content: str,
    *,
    status: HTTPStatus = HTTPStatus.OK,
    headers: dict[str, str] | None = None,
    refresh: bool = False,
) -> web.Response:
    """Return a page that needs no other file; `content` is HTML."""
    again = f'<meta http-equiv="refresh" content="{RETRY_AFTER_S}">' if refresh else ""
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{again}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)} - VoidLux</title><style>{STYLE}</style></head><body>"
        f"<header><b>VoidLux</b> Seneschal</header><main>{content}</main></body></html>"
    )
    return web.Response(
        text=text,
        status=status,
        content_type="text/html",
        headers={**NO_STORE, "Content-Security-Policy": POLICY, **(headers or {})},
    )


def table(rows: dict[str, str]) -> str:
    """Return names and values as an HTML table."""
    cells = (
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
        for name, value in rows.items()
    )
    return f"<table>{''.join(cells)}</table>"


def as_json(body: object, status: HTTPStatus) -> web.Response:
    """Return a body as JSON that no cache keeps."""
    return web.json_response(body, status=status, headers=NO_STORE, dumps=json.dumps)
