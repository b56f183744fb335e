"""Secrets taken out of text before it is logged, stored, raised or shown to a model."""

from __future__ import annotations

import re
from collections.abc import Iterator

from django.conf import settings
from pydantic import SecretStr

HIDDEN = "[secret]"
OWN_CHARS_MIN = 8  # anything shorter would take half of every text with it

_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?"
    r"(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
)
_USER_OF_URL = re.compile(r"(?<=://)(?!git@)[^/@\s'\"<>]+@")
_HEADER = re.compile(
    r"(?i)\b((?:proxy-)?authorization|x-api-key|api-key|private-token|set-cookie|cookie)"
    r"(['\"]?\s*[:=]\s*['\"]?(?:(?:bearer|basic|token)\s+)?)(?=\S{0,256}\d)[A-Za-z0-9._~+/=-]{8,}+"
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{12,}")
_SHAPES = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"sk-[A-Za-z0-9_-]{16,}"
    r"|(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{10,}"
    r"|gh[pousr]_[A-Za-z0-9]{20,}"
    r"|github_pat_[A-Za-z0-9_]{20,}"
    r"|glpat-[A-Za-z0-9_-]{16,}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}"
    r"|AIza[A-Za-z0-9_-]{35}"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,}"
    r"|npm_[A-Za-z0-9]{30,}"
    r"|pypi-[A-Za-z0-9_-]{32,}"
    r"|hf_[A-Za-z0-9]{30,}"
    r"|eyJ[A-Za-z0-9_-]{10,4000}\.eyJ[A-Za-z0-9_-]{10,4000}\.[A-Za-z0-9_-]{10,}"
    r")"
)
_ASSIGNED = re.compile(
    r"(?i)\b([A-Z0-9_]{0,64}(?:SECRET|TOKEN|PASSWORD|PASSWD|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY)[A-Z0-9_]{0,64}+)"
    r"(['\"]?[ \t]*[:=][ \t]*)"
    r"(?:\"[^\"\s]{12,}\"|'[^'\s]{12,}'|(?=\S{0,256}\d)[A-Za-z0-9+/=_-]{20,}+(?![(.\[]))"
)


def redact(text: str) -> str:
    """Return `text` with keys, tokens, passwords in URLs and private keys made unreadable.

    This node's own secrets are found wherever they are; those of others by their usual shapes.
    """
    text = _PEM.sub(HIDDEN, without_own_secrets(text))
    text = _USER_OF_URL.sub(f"{HIDDEN}@", text)
    text = _SHAPES.sub(HIDDEN, text)
    text = _HEADER.sub(rf"\1\2{HIDDEN}", text)
    text = _BEARER.sub(rf"\1 {HIDDEN}", text)
    return _ASSIGNED.sub(rf"\1\2{HIDDEN}", text)


def without_own_secrets(text: str) -> str:
    """Return `text` without the secrets of this node's settings, and otherwise as it is."""
    for secret in _own_secrets():
        text = text.replace(secret, HIDDEN)
    return text


def _own_secrets() -> Iterator[str]:
    """Yield this node's secrets, the longest first: one may be a part of another."""
    found = set()
    for name in type(settings.ENVIRONMENT).model_fields:
        value = getattr(settings.ENVIRONMENT, name)
        if isinstance(value, SecretStr) and len(value) >= OWN_CHARS_MIN:
            found.add(value.get_secret_value())
    yield from sorted(found, key=len, reverse=True)
