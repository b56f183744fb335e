"""The client libraries cost time and memory, so a node that uses no forge does not load them."""

from __future__ import annotations

import subprocess
import sys

from django.conf import settings

CODE = """
import django, sys
django.setup()
import voidlux_site.urls
print([name for name in ("github", "gitlab", "requests") if name in sys.modules])
"""


def test_the_libraries_are_loaded_by_the_jobs_alone() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", CODE], cwd=settings.BASE_DIR, capture_output=True, text=True
    )

    assert ended.stdout == "[]\n", ended.stderr
