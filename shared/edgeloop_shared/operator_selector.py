"""Selectors: which operators a breakpoint is for, in one line.

`op:conv*`, `op:type:Convolution before`, `op:#12 after @3`, `op:* @10..20 every 5`, `op:head in digits*.mnn`. The leading
`op:` may be left out; it is what tells such a breakpoint from one on a Python function in an editor.
"""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from edgeloop_shared.codec import printable
from edgeloop_shared.errors import InvalidInputError
from edgeloop_shared.operator_hits import Phase

MAX_CHARACTERS = 512
MAX_NUMBER = 2**31 - 1

SYNTAX: dict[str, str] = {
    "`op:conv*`": "operators whose name matches, or that of their node in the source model: `*` any letters, `?` one, "
    "`[ab]` one of these; `op:` may be left out",
    '`op:"a name"`': 'the same for a name with spaces, or one that begins like the next two; `\\` stands before `"` and `\\`',
    "`op:type:Conv*`": "operators whose type matches",
    "`op:#12`": "the operator with this number, from 0 in the order of execution",
    "`before`, `after`": "before the operator runs, with its inputs, or after it, with its outputs; "
    "without a word it is after, and before for the action `skip`",
    "`@3`, `@10..20`, `@10..`": "only in these runs of the model, counted from 0 since it was loaded; the last one is included",
    "`every 5`": "in every fifth run, from the first one that `@` allows",
    "`in digits*.mnn`": "only in models whose file name matches",
}
"""The parts of a selector, in the order in which they stand."""

_TEXT = r'(?:"(?P<{0}_quoted>(?:[^"\\]|\\["\\])*)"|(?P<{0}>[^\s"]\S*))(?=\s|\Z)'
_SELECTOR = re.compile(
    r"(?:op:)?(?P<type>type:)?"
    + _TEXT.format("target")
    + r"(?:\s+(?P<phase>before|after)(?=\s|\Z))?"
    + r"(?:\s+@(?P<first>\d{1,10})(?P<range>\.\.(?P<last>\d{1,10})?)?(?=\s|\Z))?"
    + r"(?:\s+every\s+(?P<every>\d{1,10})(?=\s|\Z))?"
    + r"(?:\s+in\s+"
    + _TEXT.format("model")
    + r")?",
    re.ASCII,
)
_INDEX = re.compile(r"#(\d{1,10})", re.ASCII)
Kind = Literal["name", "type", "index"]


@dataclass(frozen=True)
class Selector:
    """Which operators, in which runs. `pattern` is a glob, or a number in digits when `kind` is `index`.

    `last` is included and None for an open end; `phase` None leaves it to the breakpoint. Raises `InvalidInputError` for values
    that no text could say.
    """

    kind: Kind
    pattern: str
    phase: Phase | None = None
    first: int = 0
    last: int | None = None
    every: int = 1
    model: str = "*"

    def __post_init__(self) -> None:
        numbers = (self.first, self.every, *(() if self.last is None else (self.last,)))
        if self.kind == "index" and not re.fullmatch(r"0|[1-9]\d{0,9}", self.pattern, re.ASCII):
            raise _refusal(f"#{self.pattern}", "the number of an operator is a whole one, from 0")
        if any(not 0 <= number <= MAX_NUMBER for number in numbers) or not self.every:
            raise _refusal(self.pattern, "runs are counted from 0, and `every` from 1")
        if self.last is not None and self.last < self.first:
            raise _refusal(f"@{self.first}..{self.last}", "the last run lies before the first one")
        for glob in (self.pattern, self.model):
            if not glob or not glob.isprintable():
                raise _refusal(glob, "a pattern is printable and not empty")
        if len(str(self)) > MAX_CHARACTERS:
            raise _refusal(self.pattern, f"it has more than {MAX_CHARACTERS} characters")

    def operator_matches(self, name: str, kind: str, index: int, node: str | None = None) -> bool:
        """Return whether this operator is meant. `kind` is its type; what MNN adds to it in brackets may be left out.

        `node` is the name of the source model's node that it comes from, if that is known: it counts as a name of the operator.
        """
        if self.kind == "index":
            return index == int(self.pattern)
        matches = _matcher(self.pattern)
        if self.kind == "name":
            return bool(matches(name) or (node is not None and matches(node)))
        return bool(matches(kind) or matches(kind.partition(" [")[0]))

    def model_matches(self, name: str) -> bool:
        """Return whether the model in the file `name` is meant."""
        return bool(_matcher(self.model)(name))

    def iteration_matches(self, iteration: int) -> bool:
        """Return whether this run is meant."""
        after_first = iteration - self.first
        return after_first >= 0 and after_first % self.every == 0 and (self.last is None or iteration <= self.last)

    def __str__(self) -> str:
        """Return the text that `parse_selector` reads back to an equal selector."""
        parts = [f"op:{_target(self)}"]
        if self.phase:
            parts.append(self.phase)
        if self.last is not None:
            parts.append(f"@{self.first}" if self.last == self.first else f"@{self.first}..{self.last}")
        elif self.first:
            parts.append(f"@{self.first}..")
        if self.every > 1:
            parts.append(f"every {self.every}")
        if self.model != "*":
            parts.append(f"in {_quoted(self.model)}")
        return " ".join(parts)


def parse_selector(text: str) -> Selector:
    """Return the selector that `text` spells. Raises `InvalidInputError` that says which part does not fit."""
    if not text.isprintable() or len(text) > MAX_CHARACTERS:
        raise _refusal(text, f"it is longer than {MAX_CHARACTERS} characters or holds some that cannot be printed")
    text = text.strip()
    found = _SELECTOR.match(text)
    if found is None or found["target"] in ("op:", "type:"):
        raise _refusal(text, "it names no operator")
    if found.end() < len(text):
        rest = printable(text[found.end() :].strip(), 40)
        raise _refusal(text, f"`{rest}` is no part of a selector, or stands in the wrong place")
    index = None if found["type"] else _INDEX.fullmatch(found["target"] or "")
    last = found["last"] if found["range"] else found["first"]
    return Selector(
        kind="index" if index else "type" if found["type"] else "name",
        pattern=str(int(index[1])) if index else _unquoted(found, "target"),
        phase=found["phase"],  # type: ignore[arg-type]  # the expression allows no other word
        first=int(found["first"] or 0),
        last=None if last is None else int(last),
        every=int(found["every"] or 1),
        model=_unquoted(found, "model") or "*",
    )


def _unquoted(found: re.Match[str], group: str) -> str:
    quoted = found[f"{group}_quoted"]
    return found[group] or "" if quoted is None else re.sub(r"\\(.)", r"\1", quoted)


def _target(selector: Selector) -> str:
    if selector.kind == "index":
        return f"#{selector.pattern}"
    if selector.kind == "type":
        return f"type:{_quoted(selector.pattern)}"
    is_special = _INDEX.fullmatch(selector.pattern) or selector.pattern.startswith("type:")
    return _quoted(selector.pattern, always=bool(is_special))


def _quoted(text: str, *, always: bool = False) -> str:
    if not always and " " not in text and not text.startswith('"'):
        return text
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


@functools.lru_cache(maxsize=256)
def _matcher(glob: str) -> Callable[[str], object]:
    return re.compile(fnmatch.translate(glob)).match


def _refusal(text: str, why: str) -> InvalidInputError:
    return InvalidInputError(
        f"The selector {printable(text)!r} cannot be used: {why}.",
        hint="Write one such as `op:conv*`, `op:type:Convolution before`, `op:#12 @3` or `op:* @10..20 every 5`.",
        details={"fields": [{"field": "selector", "message": why}]},
    )
