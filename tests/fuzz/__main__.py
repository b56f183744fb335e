"""`make fuzz`: looks for bytes that break a target, guided by what of the code they reach."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

INPUT_BYTES_MAX = 8_192
INSTRUMENTED = ["p2p.protocol", "p2p.gossip", "p2p.sync"]


def main() -> None:
    """Fuzz one target for a while; an input that breaks it is written down and named."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=main.__doc__)
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--runs", type=int, default=-1, help="inputs to try, -1: any number")
    parser.add_argument("--seed", type=int, default=0, help="of the chance, 0: another each time")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="voidlux-fuzz-") as folder:
        target = _prepared(asked.target, Path(folder))
        atheris.Setup(
            [
                sys.argv[0],
                f"-max_total_time={asked.seconds}",
                f"-runs={asked.runs}",
                f"-seed={asked.seed}",
                f"-max_len={INPUT_BYTES_MAX}",
                "-timeout=10",
                "-rss_limit_mb=1024",
                f"-artifact_prefix={Path(tempfile.gettempdir())}/voidlux-{asked.target}-",
                f"-dict={folder}/words",
                f"{folder}/inputs",
            ],
            target,
        )
        atheris.Fuzz()


def _prepared(name: str, folder: Path) -> Callable[[bytes], None]:
    """Load the code with its branches counted; write the first inputs and the dictionary."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "voidlux_site.settings"
    os.environ["VOIDLUX_HOME"] = str(folder / "home")
    with atheris.instrument_imports(include=INSTRUMENTED):
        import django

        django.setup()
        from p2p.registration import registry
        from tests.fuzz.corpus import corpus_of, words
        from tests.fuzz.targets import TARGETS

    registry.freeze()
    inputs = folder / "inputs"
    inputs.mkdir()
    for number, data in enumerate(corpus_of(name)):
        (inputs / f"{number:04d}").write_bytes(data)
    escaped = ("".join(f"\\x{byte:02x}" for byte in word) for word in words())
    (folder / "words").write_text("".join(f'"{word}"\n' for word in escaped))
    return TARGETS[name]


if __name__ == "__main__":
    main()
