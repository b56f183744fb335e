"""The environment that foreign code gets: an allow-list, so that a new secret stays out too."""

from __future__ import annotations

import os
from collections.abc import Mapping

INHERITED = frozenset({"PATH", "HOME", "LANG", "LANGUAGE", "TMPDIR", "TERM", "USER", "LOGNAME"})
PATH_DEFAULT = "/usr/local/bin:/usr/bin:/bin"


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables that tests and agents may see, with `extra` given on purpose on top."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name in INHERITED or name.startswith("LC_")
    }
    return {"PATH": PATH_DEFAULT, **inherited, **(extra or {})}
