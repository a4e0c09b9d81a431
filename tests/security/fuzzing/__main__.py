"""The nightly run: `python -m security.fuzzing [--cases N] [NAME ...]` in `tests`, or `make fuzz`.

Every decoder gets N damaged inputs (one that starts processes a twentieth of that), in a process whose memory is bounded. It
prints one line per decoder.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

from security.fuzzing.cases import BrokenPromiseError, outcomes
from security.fuzzing.decoder import Decoder
from security.fuzzing.decoders import decoders

MEMORY_BYTES = 1024**3  # beyond what stands loaded at the beginning
PROCESS_SHARE = 20  # a decoder that starts processes gets so many times fewer inputs: each takes some 10 ms


def main() -> int:
    """Run them; return 1 when a decoder broke a promise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first case; others make other inputs")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgeloop-fuzz-") as folder:
        chosen = [one for one in decoders(Path(folder)) if not options.names or one.name in options.names]
        _bound_memory()
        print(f"{'decoder':32} {'cases':>8} {'taken':>8} {'slowest':>10} {'total':>8} {'memory':>10}")
        results = [
            _run(decoder, options.cases // (PROCESS_SHARE if decoder.starts_processes else 1), options.first)
            for decoder in chosen
        ]
    return 0 if all(results) else 1


def _run(decoder: Decoder, cases: int, first: int) -> bool:
    begin, taken, slowest, count = time.process_time(), 0, 0.0, 0
    try:
        for outcome in outcomes(decoder, cases, first=first):
            count += 1
            taken += outcome.was_taken
            slowest = max(slowest, outcome.seconds)
    except BrokenPromiseError as error:
        print(f"{decoder.name:32} {count:8} FAILED: {str(error)[:2000]}", flush=True)
        return False
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    total = time.process_time() - begin
    print(f"{decoder.name:32} {count:8} {taken:8} {1000 * slowest:7.1f} ms {total:6.0f} s {peak:7.0f} MiB", flush=True)
    return True


def _bound_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    used = pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, resource.RLIM_INFINITY))


if __name__ == "__main__":
    sys.exit(main())
