"""MNN, tried for real: a tiny model, made and run in a process of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

from edgeloop_daemon.doctor.finding import Finding, ok, problem
from edgeloop_daemon.doctor.helper import run_helper
from edgeloop_shared.signals import signal_name

SECONDS = 30.0
_TOLERANCE = 1e-3
_REINSTALL = "Install it again into this environment: pip install --force-reinstall MNN numpy."


def check_inference(environment: Mapping[str, str] = os.environ, seconds: float = SECONDS) -> Finding:
    """Tell whether MNN computes, and computes right. `environment` is that of the process that tries it."""
    try:
        done = run_helper("edgeloop_task.self_test", environment=environment, seconds=seconds)
    except subprocess.TimeoutExpired:
        return problem(f"MNN did not run a tiny model within {seconds:.0f} s.", _REINSTALL)
    if done.status < 0:
        return problem(f"MNN crashed natively ({signal_name(-done.status)}) on a tiny model.", _REINSTALL)
    try:
        error, version = float(done.answer["largest_error"]), str(done.answer["version"])
    except (ValueError, KeyError, TypeError):
        return problem(f"MNN cannot be used: {done.last_words}", _REINSTALL)
    if not error <= _TOLERANCE:  # a NaN does not either
        return problem(f"MNN {version} computes wrong numbers: off by {error:.3g} on a tiny model.", _REINSTALL)
    return ok(f"MNN {version} ran a tiny model, and the numbers are right")
