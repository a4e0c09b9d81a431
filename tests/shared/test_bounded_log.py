"""Logs with a limit: the beginning and the end are kept, and a line says what was left out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgeloop_shared.bounded_log import BoundedLog, LogPipe


def lines(begin: int, end: int) -> bytes:
    return b"".join(f"line {number:06}\n".encode() for number in range(begin, end))


def test_what_fits_is_kept_as_it_is(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "log", limit=1000, tail=100)
    for number in range(50):
        log.write(lines(number, number + 1))
    log.close()
    assert (tmp_path / "log").read_bytes() == lines(0, 50)


@pytest.mark.parametrize("step", [1, 7, 5000])
def test_of_a_longer_log_the_beginning_and_the_end_are_kept(tmp_path: Path, step: int) -> None:
    log = BoundedLog(tmp_path / "log", limit=1200, tail=120)
    for number in range(0, 5000, step):
        log.write(lines(number, min(5000, number + step)))
    log.close()
    text = (tmp_path / "log").read_bytes()

    assert text == (
        lines(0, 100)
        + b"[edgeloop: the log has reached its limit of 1200 bytes: only its end will follow]\n"
        + f"[edgeloop: {len(lines(100, 5000)) - len(end_of(text))} bytes were left out here]\n".encode()
        + end_of(text)
    )
    assert lines(4990, 5000).endswith(end_of(text))
    assert len(end_of(text)) >= 100


def end_of(text: bytes) -> bytes:
    return text.rpartition(b"left out here]\n")[2]


def test_a_little_more_than_the_limit_leaves_nothing_out(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "log", limit=1200, tail=120)
    log.write(lines(0, 105))
    log.close()
    text = (tmp_path / "log").read_bytes()
    assert b"left out here" not in text
    assert text.endswith(lines(100, 105))


def test_a_line_without_end_is_cut(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "log", limit=1000, tail=100)
    for _ in range(100):
        log.write(b"x" * 997)
    log.close()
    assert (tmp_path / "log").stat().st_size < 2500


def test_a_process_that_prints_much_is_not_held_up_and_does_not_fill_the_disk(tmp_path: Path) -> None:
    pipe = LogPipe(BoundedLog(tmp_path / "log", limit=100_000, tail=10_000))
    script = "import sys\nfor _ in range(3000): sys.stdout.write('x' * 99_999 + '\\n')\nprint('the end')"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=pipe.writing)
    pipe.start()
    assert process.wait() == 0
    pipe.finish(60)
    text = (tmp_path / "log").read_bytes()
    assert len(text) < 220_000
    assert text.endswith(b"the end\n")


def test_a_process_that_keeps_the_pipe_keeps_nobody_waiting(tmp_path: Path) -> None:
    pipe = LogPipe(BoundedLog(tmp_path / "log"))
    held = os.dup(pipe.writing)
    pipe.start()
    os.write(held, b"before\n")
    while not (tmp_path / "log").read_bytes():
        pass
    pipe.finish(0)
    os.write(held, b"after\n")
    os.close(held)
    assert (tmp_path / "log").read_bytes() == b"before\n"


_FULL = """
import resource, signal, sys
from pathlib import Path
from edgeloop_shared.bounded_log import BoundedLog
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
log = BoundedLog(Path(sys.argv[1]))
log.write(b"before\\n")
resource.setrlimit(resource.RLIMIT_FSIZE, (7, hard))
log.write(b"lost\\n")
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
log.write(b"after\\n")
log.close()
"""


def test_what_finds_no_room_is_told_when_there_is_room_again(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", _FULL, str(tmp_path / "log")], check=True)
    told = "[edgeloop: 5 bytes were left out here: the disk was full]\n"
    assert (tmp_path / "log").read_text() == f"before\n{told}after\n"
