"""MNN, tried for real: a tiny model, made and run in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping

from edgeloop_daemon.doctor.finding import Finding, ok, problem

SECONDS = 30.0
_TOLERANCE = 1e-3
_REINSTALL = "Install it again into this environment: pip install --force-reinstall MNN numpy."


def check_inference(environment: Mapping[str, str] = os.environ, seconds: float = SECONDS) -> Finding:
    """Tell whether MNN computes, and computes right. `environment` is that of the process that tries it."""
    command = [sys.executable, "-P", "-m", "edgeloop_task.self_test"]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return problem(f"MNN did not run a tiny model within {seconds:.0f} s.", _REINSTALL)
    if done.returncode < 0:
        return problem(f"MNN crashed natively ({_signal_name(-done.returncode)}) on a tiny model.", _REINSTALL)
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
        error, version = float(answer["largest_error"]), str(answer["version"])
    except (ValueError, KeyError, IndexError, TypeError):
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return problem(f"MNN cannot be used: {last}", _REINSTALL)
    if not error <= _TOLERANCE:  # a NaN does not either
        return problem(f"MNN {version} computes wrong numbers: off by {error:.3g} on a tiny model.", _REINSTALL)
    return ok(f"MNN {version} ran a tiny model, and the numbers are right")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
