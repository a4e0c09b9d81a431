"""The daemon's log: files of bounded size, and a disk that is full for a while."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

from edgeloop_daemon.log_file import BYTES, FILES, LogFile

SCRIPT = """
import logging, resource, sys
from pathlib import Path
from edgeloop_daemon.log_file import LogFile

log = logging.getLogger("edgeloop_daemon")
log.propagate = False
log.addHandler(LogFile(Path(sys.argv[1])))
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, most))  # as if there were room for no more
for number in range(10_000):
    log.warning("line %d", number)
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
log.warning("there is room again")
if len(sys.argv) > 2:
    log.warning("%d", "no number")
"""


def logged(path: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SCRIPT, str(path), *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)


def test_lines_that_a_full_disk_does_not_take_are_counted_not_shown_as_tracebacks(tmp_path: Path) -> None:
    done = logged(tmp_path / "daemon.log")
    assert done.stderr == ""
    lines = (tmp_path / "daemon.log").read_text().splitlines()
    assert lines[0].endswith("WARNING edgeloop_daemon: line 0")
    assert lines[-2].endswith("there is room again")
    missing = 10_000 - sum(": line " in line for line in lines)
    words = lines[-1].partition("The log may lack ")[2].split()
    assert int(words[0]) >= missing > 1000
    assert lines[-1].endswith("lines before this one: File too large.")


def test_a_log_call_that_is_wrong_is_shown_as_ever(tmp_path: Path) -> None:
    assert "TypeError" in logged(tmp_path / "daemon.log", "wrong").stderr


def test_the_oldest_lines_give_way_to_the_newest(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "daemon.log")
    long = "x" * 500_000
    count = (FILES + 3) * BYTES // len(long)
    for number in range(count):
        log.emit(logging.LogRecord("edgeloop_daemon", logging.INFO, __file__, 0, f"line {number} {long}", None, None))
    log.close()
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["daemon.log", *(f"daemon.log.{number + 1}" for number in range(FILES))]
    assert all(file.stat().st_size <= BYTES for file in files)
    kept = sorted(int(line.split()[5]) for file in files for line in file.read_text().splitlines())
    assert kept == list(range(kept[0], count))
    assert kept[0] > 0
