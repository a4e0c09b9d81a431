"""A process that a check starts, for what could crash or hang: the last line that it prints is its answer, in JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Helper:
    """How it ended: `answer` is None if there was none, and `last_words` is the last line on its standard error."""

    status: int
    answer: Any
    last_words: str


def run_helper(module: str, *arguments: str, environment: Mapping[str, str], seconds: float) -> Helper:
    """Run `module` and return how it ended. Raises `subprocess.TimeoutExpired`."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", module, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
        env=environment,
        check=False,
    )
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        answer = None
    last_words = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}, without a word"])[-1]
    return Helper(done.returncode, answer, last_words)
