"""`python -m edgeloop_companion --doctor --state DIR`: the checks without an app."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import textwrap
from pathlib import Path

from edgeloop_companion.control import Request, request_of
from edgeloop_companion.doctor.checks import CHECKS, examine
from edgeloop_companion.doctor.examination import looked_at
from edgeloop_companion.doctor.finding import Finding
from edgeloop_companion.doctor.subject import Advertised
from edgeloop_companion.link.pairing import Pairing
from edgeloop_companion.link.pairings import Pairings
from edgeloop_companion.phone.phone import this_phone
from edgeloop_companion.runtime.storage import StateFolder
from edgeloop_shared.errors import EdgeloopError, SettingsError
from edgeloop_shared.marks import Mark, sign, worst

_WIDTH = max(len(check.id) for check in CHECKS)
_MAX_COLUMNS = 100


def examine_device(state: Path, *, as_json: bool) -> int:
    """Examine the device whose companion keeps its state in `state`, and print what was found; return the exit code."""
    findings = asyncio.run(_findings(state, print_each=not as_json))
    mark = worst(one.mark for one in findings)
    if as_json:
        items = [{"check": one.check, "mark": one.mark, "found": one.found, "remedy": one.remedy} for one in findings]
        _print(json.dumps({"mark": mark, "items": items}, indent=2))
    return int(mark is Mark.PROBLEM)


async def _findings(state: Path, *, print_each: bool) -> list[Finding]:
    pairings, unreadable = await asyncio.to_thread(_stored_pairings, state)
    told = await asyncio.to_thread(_told, state)
    subject = await looked_at(this_phone(_existing(state)), pairings, advertised=told, unreadable=unreadable)
    findings = []
    async for finding in examine(subject):
        findings.append(finding)
        if print_each:
            _print(_line(finding))
    return findings


def _existing(folder: Path) -> Path:
    """Return where `folder` is, or would be made."""
    return next(place for place in (folder, *folder.absolute().parents) if place.is_dir())


def _stored_pairings(state: Path) -> tuple[tuple[Pairing, ...], SettingsError | None]:
    """Return the pairings that are kept, and why they cannot be read."""
    if not state.is_dir():  # nothing was ever paired, and to look makes no folder
        return (), None
    try:
        return tuple(Pairings(StateFolder(state).pairings)), None
    except SettingsError as error:
        return (), error


def _told(state: Path) -> Advertised | None:
    """Return what the companion that uses the folder knows of its announcing; None when none runs, or it does not tell."""
    try:
        return request_of(state, Request("advertised")).advertised if state.is_dir() else None
    except (EdgeloopError, OSError):
        return None  # it does not answer; what is wrong with the folder is told by another check


def _line(finding: Finding) -> str:
    columns = max(40, min(shutil.get_terminal_size().columns, _MAX_COLUMNS) - 1)
    indent = " " * (_WIDTH + 4)
    found = textwrap.fill(_clean(finding.found), columns, initial_indent=indent, subsequent_indent=indent)
    line = f"{sign(finding.mark, sys.stdout.encoding)} {finding.check:<{_WIDTH}}  {found.lstrip()}"
    if not finding.remedy:
        return line
    remedy = _clean(finding.remedy)
    return f"{line}\n{textwrap.fill(remedy, columns, initial_indent=f'{indent}> ', subsequent_indent=f'{indent}  ')}"


def _clean(text: str) -> str:
    """Return `text` without control characters: what a computer calls itself must not steer the terminal."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
