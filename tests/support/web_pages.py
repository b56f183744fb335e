"""What the pages answer, for tests: the text that people read, and what an action tells."""

from __future__ import annotations

import html
import json
import re
from typing import Any


def text_of(response: Any) -> str:
    """Return a page's text without its tags, with single spaces."""
    bare = re.sub(r"<[^>]+>", " ", response.content.decode())
    return re.sub(r"\s+", " ", html.unescape(bare))


def saved_of(response: Any) -> dict[str, Any]:
    """Return what an action told the page; AssertionError when it was refused."""
    assert response.status_code == 204, response.content
    detail: dict[str, Any] = json.loads(response.headers["HX-Trigger"])["voidlux:saved"]
    return detail
