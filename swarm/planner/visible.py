"""Untrusted text as a model is shown it: what no person would see is not there either."""

from __future__ import annotations

import re

from swarm.plain_text import clean_text

# Zero width, directions of writing, and the tags that spell words which nobody sees.
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]")


def visible(text: str) -> str:
    """Return a text without terminal sequences and without characters that are not seen."""
    return _UNSEEN.sub("", clean_text("text", text, len(text)))
