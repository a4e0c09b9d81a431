"""What a background process prints into files stays short, and the newest of it stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PRINTING = """
import os, pathlib, sys
from edgeloop_shared.bounded_output import bounded_output
with bounded_output(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), limit=10_000, seconds=0.001):
    waits = True
    for begin in range(0, 20_000, 1000):
        os.write(1, b"".join(b"line %06d\\n" % number for number in range(begin, begin + 1000)))  # as libraries do
        while waits and not 0 < os.fstat(1).st_size <= 10_000:
            pass
"""


def test_a_file_that_is_printed_to_keeps_its_newest_lines(tmp_path: Path) -> None:
    printed, other = tmp_path / "printed", tmp_path / "other"
    other.write_bytes(b"x" * 100_000)
    with printed.open("wb") as output:  # not opened to append
        subprocess.run([sys.executable, "-c", PRINTING, printed, other], stdout=output, check=True)
    lines = printed.read_text().splitlines()

    assert 0 < printed.stat().st_size <= 10_000
    numbers = [int(line.removeprefix("line ")) for line in lines]
    assert numbers == list(range(numbers[0], 20_000))
    assert other.stat().st_size == 100_000


def test_a_file_that_was_replaced_is_left_alone(tmp_path: Path) -> None:
    printed = tmp_path / "printed"
    replace = PRINTING.replace("waits = True", "waits = False; os.rename(sys.argv[1], sys.argv[1] + '.old')")
    with printed.open("wb") as output:
        subprocess.run([sys.executable, "-c", replace, printed, os.devnull], stdout=output, check=True)

    assert not printed.exists()
    assert (tmp_path / "printed.old").stat().st_size == 20_000 * len("line 000000\n")
