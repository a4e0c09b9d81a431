"""The long storm: `python -m end_to_end.chaos --kills 500`, with `tests` on the path of Python (`make chaos`)."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from end_to_end.chaos.storm import Storm


def main() -> int:
    """Strike as often as asked, and print what was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="edgeloop-storm-"))
    storm = Storm(folder, options.seed)
    begun = time.monotonic()
    with storm.raging():
        for number in range(options.kills):
            storm.strike()
            if number % 50 == 49:
                print(f"{number + 1} kills, {len(storm.begun)} works, {time.monotonic() - begun:.0f} s", flush=True)
        losses = storm.losses()
    print(f"{dict(storm.killed)} over {len(storm.begun)} works in {time.monotonic() - begun:.0f} s", *losses, sep="\n")
    print(f"{len(losses)} losses; what is left is in {folder}")
    return 1 if losses else 0


if __name__ == "__main__":
    sys.exit(main())
