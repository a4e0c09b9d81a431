"""The versions of what is installed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, requires, version

from edgeloop_daemon.doctor.finding import Finding, ok, problem, warning
from edgeloop_shared import __version__

SHOWN = ("MNN", "numpy", "aiohttp", "click", "pydantic")
TELEMETRY = "aliyun-log-python-sdk"
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)\s*(?:\[[^]]*\])?\s*([^;]*)$")
_BOUND = re.compile(r"\s*(>=|<|<=|>|==|!=)\s*([0-9][0-9.]*)\s*")
Version = Callable[[str], str]


def needed() -> tuple[str, ...]:
    """Return what edgeloop's own metadata asks for, extras left out. Raises `PackageNotFoundError`."""
    return tuple(text for text in requires("edgeloop") or () if "extra ==" not in text)


def check_versions(requirements: Sequence[str], installed: Version = version) -> Finding:
    """Tell what does not fit the requirements, and combinations that are known to fail."""
    unfit = [text for text in (_unfit(one, installed) for one in requirements) if text]
    if unfit:
        return problem(
            "; ".join(unfit) + ".", "Install edgeloop again into this environment: pip install --upgrade edgeloop."
        )
    if _found("edgeloop", installed) != __version__:
        return warning(
            f"edgeloop's code is {__version__}, its metadata {_found('edgeloop', installed)}: plugins may be missing.",
            "Install it again; for a source tree: pip install --editable .",
        )
    if telemetry := _found(TELEMETRY, installed):
        return warning(
            f"{TELEMETRY} {telemetry} is installed: `MNN.tools` does that, sends what you convert, and may downgrade "
            "protobuf, which breaks onnx.",
            f"Remove it (pip uninstall {TELEMETRY}); edgeloop's own tools never need it.",
        )
    return ok(f"edgeloop {__version__}, " + ", ".join(f"{name} {_found(name, installed)}" for name in SHOWN))


def _unfit(requirement: str, installed: Version) -> str:
    """Return what is wrong with a requirement, or nothing."""
    match = _REQUIREMENT.match(requirement.partition(";")[0].strip())
    if match is None:
        return ""
    name, bounds = match[1], match[2]
    found = _found(name, installed)
    if not found:
        return f"{name} is missing"
    holds = all(_holds(found, bound[1], bound[2]) for bound in _BOUND.finditer(bounds))
    return "" if holds else f"{name} {found} is installed, but {bounds.strip()} is needed"


def _found(name: str, installed: Version) -> str:
    try:
        return installed(name)
    except PackageNotFoundError:
        return ""


def _holds(found: str, comparison: str, bound: str) -> bool:
    """Compare releases by their numbers; what follows them (`rc1`, `.post2`) plays no part in our requirements."""
    have, want = _numbers(found), _numbers(bound)
    return {
        ">=": have >= want,
        ">": have > want,
        "<": have < want,
        "<=": have <= want,
        "==": have == want,
        "!=": have != want,
    }[comparison]


def _numbers(text: str) -> tuple[int, ...]:
    release = re.match(r"[0-9]+(\.[0-9]+)*", text)
    numbers = [int(part) for part in release[0].split(".")] if release else [0]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
