"""What Ed25519 alone allows: verifications a second with the library and frames that VoidLux has.

python -m benchmarks.mesh.subjects.ed25519 {1,2}     (processes)
"""

from __future__ import annotations

import multiprocessing
import sys
import time

from benchmarks.mesh.load import CLOSED_S, PAYLOAD_BYTES
from benchmarks.mesh.result import Result
from p2p.protocol.identity import Identity, verify

# The payload and what a signed frame has around it.
SIGNED_BYTES = PAYLOAD_BYTES + 300
AT_ONCE = 100


def verifications_per_s(duration_s: float) -> float:
    """Return the rate on this core."""
    identity = Identity.generate()
    signed = b"x" * SIGNED_BYTES
    signature = identity.sign(signed)
    done, begun_at = 0, time.perf_counter()
    while time.perf_counter() - begun_at < duration_s:
        for _ in range(AT_ONCE):
            assert verify(identity.public_key, signed, signature)
        done += AT_ONCE
    return done / (time.perf_counter() - begun_at)


def run(processes: int) -> Result:
    """Measure that many processes at the same time."""
    result = Result()
    result.add_versions("pynacl")
    with multiprocessing.Pool(processes) as pool:
        rates = pool.map(verifications_per_s, [CLOSED_S] * processes, chunksize=1)
    result.figures[f"ed25519 {processes} verifications"] = sum(rates)
    return result


if __name__ == "__main__":
    run(int(sys.argv[1])).print()
