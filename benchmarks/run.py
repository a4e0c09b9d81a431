"""Runs benchmarks one after the other, all of them or those that are named; exits with 1 when a bar is missed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).parent
_NO_BENCHMARK = ("run", "figures")
_PARTS = "_parts"  # `link_parts.py` helps `link.py`


def benchmarks() -> tuple[str, ...]:
    """Return the names of all benchmarks."""
    names = (path.stem for path in FOLDER.glob("*.py"))
    return tuple(sorted(name for name in names if name not in _NO_BENCHMARK and not name.endswith(_PARTS)))


def main(wanted: Sequence[str]) -> int:
    """Run and return the exit status."""
    known = benchmarks()
    if unknown := sorted(set(wanted) - set(known)):
        print(f"There is no benchmark {', '.join(unknown)}; there are {', '.join(known)}.", file=sys.stderr)
        return 2
    missed = []
    for name in wanted or known:
        print(f"{name} ...", flush=True)
        begin = time.monotonic()
        if subprocess.run([sys.executable, str(FOLDER / f"{name}.py")], check=False).returncode:
            missed.append(name)
        print(f"  {time.monotonic() - begin:.0f} s", flush=True)
    if missed:
        print(f"Failed or missed a bar: {', '.join(missed)}.", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
