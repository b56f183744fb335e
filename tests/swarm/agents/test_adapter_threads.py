"""Adapters are read by several threads of a node as it starts: none of them may end the process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.nodes import ROOT

STARTS = 4
# Threads that change at every turn meet where the class is used for the first time.
READ_BY_MANY = """
import sys, threading
from pathlib import Path
import django
django.setup()
from swarm.agents.adapters import load_tool

sys.setswitchinterval(1e-6)
path = Path("swarm/agents/tools/claude.toml")
together = threading.Barrier(8)
read = []

def run():
    together.wait()
    read.append(load_tool(path).name)

threads = [threading.Thread(target=run) for _ in range(8)]
for each in threads:
    each.start()
for each in threads:
    each.join()
print(len(read))
"""


def test_threads_that_read_the_first_adapter_together_all_get_it(tmp_path: Path) -> None:
    settings = {"DJANGO_SETTINGS_MODULE": "voidlux_site.settings", "VOIDLUX_HOME": str(tmp_path)}
    command = [sys.executable, "-c", READ_BY_MANY]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=os.environ | settings)
        for _ in range(STARTS)
    ]
    ended = [(each.communicate()[0].strip(), each.returncode) for each in started]

    assert ended == [(b"8", 0)] * STARTS
