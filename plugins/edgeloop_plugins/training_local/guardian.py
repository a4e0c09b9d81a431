"""The process between a job and its training: it leaves no orphans, however the job ends.

    python -I -S guardian.py LIFELINE FOLDER COMMAND...

It leads a session of its own, in which the command and all that the command starts live. It ends them when the command has ended,
when it gets SIGTERM, or when the pipe LIFELINE closes: the job's process holds the other end, and the kernel closes it even when
the job is killed with SIGKILL. How the command ended is written to FOLDER/ended.json. Run as a script: standard library only.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

GRACE = 3.0  # seconds between SIGTERM and SIGKILL


def main(lifeline: int, folder: Path, command: list[str]) -> None:
    """Run `command` to its end, or until it must stop."""
    wake, wake_end = os.pipe()
    for end in (wake, wake_end):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake_end)  # a child's end or SIGTERM makes `select` return
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    except (OSError, ValueError) as error:
        _write(folder, {"error": str(error)})
        return
    stopped = False
    while child.poll() is None and not stopped:
        ready, _, _ = select.select([lifeline, wake], [], [])
        stopped = lifeline in ready or (wake in ready and signal.SIGTERM in os.read(wake, 1024))
    if stopped:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)
        try:
            child.wait(GRACE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    _write(folder, {"exit_code": child.returncode, "stopped": stopped})
    os.killpg(0, signal.SIGKILL)  # what the command left behind, and this process itself


def _write(folder: Path, record: dict[str, object]) -> None:
    draft = folder / "ended.json.new"
    draft.write_text(json.dumps(record))
    draft.rename(folder / "ended.json")


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
