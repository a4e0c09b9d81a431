"""What the device itself brings."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
import sys

from edgeloop_companion.doctor.finding import Finding
from edgeloop_companion.doctor.subject import Subject
from edgeloop_companion.runtime.helper import ANSWER_SECONDS, answer_of
from edgeloop_shared import __version__
from edgeloop_shared.device_states import LOW_STORAGE_BYTES
from edgeloop_shared.errors import EdgeloopError
from edgeloop_shared.marks import Mark

_TOLERANCE = 1e-3
NEEDED = {"aiohttp": "3.14.4", "zeroconf": "0.148", "MNN": "3.6", "numpy": "1.26"}


def check_versions(_: Subject) -> list[Finding]:
    """Tell what is installed, and what of it is too old."""
    found, installed = [], []
    for name, least in NEEDED.items():
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found.append(Finding("versions", Mark.PROBLEM, "versions.missing", {"name": name}))
            continue
        installed.append(f"{name} {version}")
        if _numbers(version) < _numbers(least):
            values = {"name": name, "version": version, "least": least}
            found.append(Finding("versions", Mark.PROBLEM, "versions.old", values))
    values = {"edgeloop": __version__, "python": platform.python_version(), "others": ", ".join(installed)}
    return found or [Finding("versions", Mark.OK, "versions.fit", values)]


async def check_inference(_: Subject, seconds: float = ANSWER_SECONDS) -> list[Finding]:
    """Have a tiny model run in a process of its own: the companion never loads MNN, and a crash must not take it along."""
    if not sys.executable or hasattr(sys, "getandroidapilevel"):
        return [Finding("inference", Mark.OK, "inference.unasked")]
    try:
        answer = json.loads((await answer_of("edgeloop_task.self_test", seconds)).splitlines()[-1])
        error, version = float(answer["largest_error"]), str(answer["version"])
    except EdgeloopError as failure:
        return [_fails(failure.message)]
    except (ValueError, KeyError, TypeError, IndexError):
        return [_fails("its answer cannot be read")]
    is_right = error <= _TOLERANCE  # a NaN is not
    key = "inference.works" if is_right else "inference.wrong"
    return [Finding("inference", Mark.OK if is_right else Mark.PROBLEM, key, {"version": version})]


def check_disk(subject: Subject) -> list[Finding]:
    """Tell how much room there is for models and files."""
    free = subject.vitals.free_bytes
    if free is None:
        return [Finding("disk", Mark.OK, "disk.unknown")]
    values = {"free": f"{free / 1e9:.1f} GB" if free >= LOW_STORAGE_BYTES else f"{free / 1e6:.0f} MB"}
    if subject.vitals.is_storage_low:
        return [Finding("disk", Mark.WARNING, "disk.low", values)]
    return [Finding("disk", Mark.OK, "disk.free", values)]


def check_heat(subject: Subject) -> list[Finding]:
    """Tell whether the system slows the device down for its heat: what is measured then says little."""
    throttling = subject.vitals.throttling
    if throttling is None:
        return [Finding("heat", Mark.OK, "heat.unknown")]
    if throttling == "none":
        return [Finding("heat", Mark.OK, "heat.fine")]
    return [Finding("heat", Mark.WARNING, "heat.throttled", {"state": throttling})]


def _fails(reason: str) -> Finding:
    return Finding("inference", Mark.PROBLEM, "inference.fails", {"reason": reason})


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"[0-9]+", version)[:3]))
