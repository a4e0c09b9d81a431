"""debugpy, loaded for real in a process of its own, and what it costs in this Python."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

from edgeloop_daemon.doctor.finding import Finding, ok, problem
from edgeloop_daemon.doctor.helper import run_helper
from edgeloop_daemon.doctor.interpreter import Interpreter

SECONDS = 30.0
QUICK_DEBUGGING = (3, 12)  # PEP 669: a debugger costs next to nothing where it does not look
_REINSTALL = "Install it again into this environment: pip install --force-reinstall debugpy."


def check_debugger(
    interpreter: Interpreter, environment: Mapping[str, str] = os.environ, seconds: float = SECONDS
) -> Finding:
    """Tell whether debugpy can be used, and what it costs while a script is debugged on a virtual device."""
    try:
        done = run_helper("edgeloop_companion.runtime.debugger_self_test", environment=environment, seconds=seconds)
    except subprocess.TimeoutExpired:
        return problem(f"debugpy was not ready within {seconds:.0f} s.", _REINSTALL)
    try:
        version = str(done.answer["version"])
    except (KeyError, TypeError):
        return problem(f"debugpy cannot be used: {done.last_words}", _REINSTALL)
    if interpreter.version < QUICK_DEBUGGING:
        # benchmarks of ours: 2 to 3 times for a loop, up to 10 where small functions are called
        return ok(
            f"debugpy {version} is ready; once a script is debugged, its tight Python loops run 2 to 10 times slower",
            "Python 3.12 or newer avoids that.",
        )
    return ok(f"debugpy {version} is ready; it costs next to nothing where it does not stop")
