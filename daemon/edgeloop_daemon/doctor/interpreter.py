"""The Python that edgeloop runs in."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from edgeloop_daemon.doctor.finding import Finding, ok, problem, warning

OLDEST = (3, 11)


@dataclass(frozen=True)
class Interpreter:
    """A Python; the defaults are this one."""

    version: tuple[int, ...] = tuple(sys.version_info[:3])
    executable: str = sys.executable
    prefix: str = sys.prefix
    base_prefix: str = sys.base_prefix


def check_python(interpreter: Interpreter) -> Finding:
    """Tell whether it is new enough, still there and apart from the system's."""
    version = ".".join(map(str, interpreter.version))
    if interpreter.version < OLDEST:
        return problem(
            f"{platform.python_implementation()} {version} is too old.", "Install edgeloop into Python 3.11 or newer."
        )
    if not Path(interpreter.executable).exists():
        return problem(
            f"{interpreter.executable or 'The interpreter'} is gone: the daemon and its jobs cannot be started.",
            "Make the virtual environment anew, because its Python was replaced, and install edgeloop into it.",
        )
    if interpreter.prefix == interpreter.base_prefix:
        return warning(
            f"{version} in {interpreter.prefix}, which is no virtual environment.",
            "Other programs' upgrades may replace what edgeloop needs: install it into a virtual environment.",
        )
    return ok(f"{version} in {interpreter.prefix}")
