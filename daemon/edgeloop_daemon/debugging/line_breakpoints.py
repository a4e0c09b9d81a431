"""The line breakpoints of a session: those of the editor and those that the workspace keeps, put together per file.

The debugger takes all breakpoints of a file at once. Where an editor has one on the same line, the kept one steps back.
"""

from __future__ import annotations

import ast
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeloop_daemon.debugging.breakpoints import Breakpoint, State, Verification

MAX_PER_FILE = 1000
NOT_IN_BUNDLE = (
    "This file did not travel to the device: of the workspace its Python files do, and what `[run] include` names."
)
_REASONS: Mapping[str, tuple[State, str]] = {
    "does not exist": ("not-in-bundle", NOT_IN_BUNDLE),
    "invalid line": ("no-code", "There is no code at this line or behind it."),
}


class LineBreakpoints:
    """Which breakpoints each file has, by its path in the bundle."""

    def __init__(self, session: str) -> None:
        self._session = session
        self._kept: dict[str, list[Breakpoint]] = {}
        self._edited: dict[str, list[dict[str, Any]]] = {}
        self._owners: dict[str, list[Breakpoint]] = {}
        self._numbers: dict[int, str] = {}
        self.verified: dict[str, Verification] = {}
        """What has become of the kept ones, by their ids."""
        self.entry: tuple[str, int] | None = None
        """The file and the line at which to stop once, when the script begins."""

    def keep(self, breakpoints: Iterable[Breakpoint]) -> tuple[str, ...]:
        """Take the workspace's breakpoints; return the files in which they are others than before."""
        before, self._kept = self._kept, {}
        for one in breakpoints:
            if one.kind == "line" and one.file is not None:
                self._kept.setdefault(one.file, []).append(one)
        return tuple(file for file in {**before, **self._kept} if _sources(before, file) != _sources(self._kept, file))

    def edit(self, file: str, breakpoints: Sequence[Mapping[str, Any]]) -> None:
        """Take all breakpoints that an editor has in a file."""
        self._edited[file] = [dict(one) for one in breakpoints[:MAX_PER_FILE]]

    def forget_edited(self) -> tuple[str, ...]:
        """Forget the editor's; return the files that had any."""
        files = tuple(self._edited)
        self._edited = {}
        return files

    @property
    def files(self) -> tuple[str, ...]:
        """The files that have any."""
        return tuple(dict.fromkeys((*self._kept, *self._edited, *(self.entry or ())[:1])))

    def wanted(self, file: str) -> list[dict[str, Any]]:
        """Return what the debugger is to have in a file: the editor's first."""
        edited = self._edited.get(file, [])
        lines = {one.get("line") for one in edited}
        owners = [one for one in self._kept.get(file, ()) if one.line not in lines]
        self._owners[file] = owners
        entry = [{"line": self.entry[1]}] if self.entry is not None and self.entry[0] == file else []
        return [*edited, *map(_source_breakpoint, owners), *entry]

    def answered(self, file: str, breakpoints: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Take what the debugger says of `wanted(file)`; return what is the editor's of it."""
        edited = self._edited.get(file, [])
        owners = self._owners.get(file, [])
        of_editor = [_explained(one) for one in breakpoints[: len(edited)]]
        for owner, found in zip(owners, breakpoints[len(edited) :], strict=False):
            if isinstance(found.get("id"), int):
                self._numbers[found["id"]] = owner.id
            self.verified[owner.id] = self._verification(owner, found)
        return of_editor

    def changed(self, found: Mapping[str, Any]) -> bool:
        """Take what the debugger says later of a breakpoint; return whether it is the editor's."""
        owner = self._numbers.get(found.get("id", -1))
        kept = [one for ones in self._owners.values() for one in ones if one.id == owner]
        for one in kept:
            self.verified[one.id] = self._verification(one, found)
        return not kept

    def _verification(self, wanted: Breakpoint, found: Mapping[str, Any]) -> Verification:
        line = found.get("line") if isinstance(found.get("line"), int) else wanted.line
        message = str(found.get("message") or "")[:500]
        state: State = "refused"
        if found.get("verified") is True:
            state = "verified" if line == wanted.line else "moved"
            message = "" if line == wanted.line else f"Line {wanted.line} holds no code."
        for words, (known, text) in _REASONS.items():
            if state == "refused" and words in message:
                state, message = known, text
        return Verification(self._session, state, line, message, time.time())


def _source_breakpoint(one: Breakpoint) -> dict[str, Any]:
    fields = {
        "line": one.line,
        "condition": one.condition,
        "hitCondition": one.hit_condition,
        "logMessage": one.log_message,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _sources(kept: Mapping[str, Sequence[Breakpoint]], file: str) -> list[dict[str, Any]]:
    return [_source_breakpoint(one) for one in kept.get(file, ())]


def _explained(found: Mapping[str, Any]) -> dict[str, Any]:
    message = str(found.get("message") or "")
    for words, (_, text) in _REASONS.items():
        if words in message:
            return {**found, "message": text}
    return dict(found)


def first_line(script: Path) -> int | None:
    """Return the line at which a script begins, None for one that does not compile. Reads the file."""
    try:
        statements = ast.parse(script.read_bytes()).body
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    lines = (node.lineno for statement in statements[:1] for node in ast.walk(statement) if hasattr(node, "lineno"))
    return min(lines, default=None)
