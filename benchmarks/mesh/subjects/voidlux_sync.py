"""VoidLux: bytes and time of pull sync against the size of the difference, on real databases.

    python -m benchmarks.mesh.subjects.voidlux_sync

Two nodes hold 10,000 offerings of 20 sellers, but one of them misses some. Every message is
encoded, framed and decoded as on the wire, and both sides run what a node runs on its database
thread; only the socket between them is left out.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def main() -> None:
    """Set Django up on a home of our own, measure, and leave nothing behind."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DJANGO_SETTINGS_MODULE"] = "voidlux_site.settings"
        os.environ["VOIDLUX_HOME"] = str(Path(folder) / "home")
        import django

        django.setup()
        from benchmarks.mesh.subjects.voidlux_stores import measure

        measure(Path(folder)).print()


if __name__ == "__main__":
    main()
