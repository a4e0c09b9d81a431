"""Breakpoints that are kept with a workspace: every debug session of it sets them, with or without an editor."""

from __future__ import annotations

import ast
import dataclasses
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from edgeloop_daemon.debugging.exception_filters import ExceptionFilter
from edgeloop_daemon.devices.run_breakpoints import RunBreakpoint, RunBreakpoints, reference_files, reference_folder
from edgeloop_daemon.devices.selection import bundle_path, is_file
from edgeloop_daemon.events.event_log import record_event
from edgeloop_daemon.events.kinds import BreakpointAdded, BreakpointRemoved
from edgeloop_daemon.store.database import Database
from edgeloop_daemon.store.ids import new_id
from edgeloop_daemon.store.tables import Tables
from edgeloop_shared.codec import encode_json
from edgeloop_shared.errors import ConflictError, InvalidInputError, NotFoundError
from edgeloop_shared.operator_breakpoints import MAX_BREAKPOINTS as MAX_OF_RUN
from edgeloop_shared.operator_breakpoints import NamedAction, OperatorBreakpointOrder

Kind = Literal["line", "exception", "operator"]
State = Literal["verified", "moved", "no-code", "not-in-bundle", "refused"]
MAX_BREAKPOINTS = 500
_TEXT = {"max_length": 2000}


@dataclass(frozen=True)
class Verification:
    """What the debug session `session` has made of a breakpoint, at `time` (seconds since the UNIX epoch).

    `moved` means that it stands at `line` instead, `no-code` that there is no code at or behind its line, `not-in-bundle` that its
    file did not travel to the device, `refused` what `message` says.
    """

    session: str
    state: State
    line: int | None
    message: str
    time: float


@dataclass(frozen=True)
class NewBreakpoint:
    """Where to stop, by its `kind`.

    A `line` breakpoint has a `file` (relative to the workspace) and a `line` from 1; an `exception` one a `filter`; an `operator`
    one a `selector` (`op:conv*`), an `action` (null: `report`), perhaps a `reference` (a folder of `.npy` files of the workspace,
    or one such file) and `first_only`. `condition` is an expression in the frame (for an operator: over its statistics),
    `hit_condition` a number or a comparison with one (`3`, `>= 3`, `% 2`), and `log_message` makes it a logpoint: it prints the
    message, in which `{expressions}` are filled in, and does not stop.
    """

    kind: Kind = "line"
    file: str | None = field(default=None, metadata={"min_length": 1, "max_length": 512})
    line: int | None = field(default=None, metadata={"ge": 1, "le": 10_000_000})
    filter: ExceptionFilter | None = None
    selector: str | None = field(default=None, metadata={"min_length": 1, "max_length": 512})
    condition: str | None = field(default=None, metadata={"min_length": 1, **_TEXT})
    hit_condition: str | None = field(default=None, metadata={"pattern": r"^(==|>=|<=|>|<|%)? *[0-9]{1,9}$"})
    log_message: str | None = field(default=None, metadata={"min_length": 1, **_TEXT})
    action: NamedAction | None = None
    reference: str | None = field(default=None, metadata={"min_length": 1, "max_length": 512})
    first_only: bool = False


@dataclass(frozen=True)
class Breakpoint:
    """A breakpoint of a workspace, see `NewBreakpoint`. `verification` is the newest session's word, null before the first."""

    id: str
    workspace: str
    kind: Kind
    file: str | None
    line: int | None
    filter: ExceptionFilter | None
    selector: str | None
    condition: str | None
    hit_condition: str | None
    log_message: str | None
    created_at: float
    verification: Verification | None
    action: NamedAction | None = None
    reference: str | None = None
    first_only: bool = False

    @property
    def place(self) -> str:
        """Where it is, as a user writes it: `FILE:LINE`, `exception:FILTER` or the selector."""
        if self.kind == "line":
            return f"{self.file}:{self.line}"
        return f"exception:{self.filter}" if self.kind == "exception" else str(self.selector)


class Breakpoints:
    """The breakpoints of all workspaces."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, workspace: str, kind: Kind | None = None) -> tuple[Breakpoint, ...]:
        """Return the breakpoints of a workspace in the order in which they were added, all or those of a kind."""
        sql = "select * from breakpoints where workspace = ?1 and (?2 is null or kind = ?2) order by number"
        return await self._database.read(lambda db: tuple(map(_breakpoint, db.query(sql, [workspace, kind]))))

    async def add(self, workspace: str, new: NewBreakpoint) -> Breakpoint:
        """Keep a breakpoint; one at the same place takes its conditions, and keeps its id.

        What it names is checked by `checked_line` and its like before. Raises `ConflictError` when there are too many.
        """
        content = {name: value for name, value in dataclasses.asdict(new).items() if name != "kind"}
        text = encode_json(content).decode()
        place = _place_key(new)

        def insert(db: Tables) -> str:
            found = db.execute(
                "update breakpoints set content_json = ?, verification_json = null where workspace = ? and place = ?"
                " returning id",
                [text, workspace, place],
            ).fetchone()
            if found is not None:
                return str(found[0])
            (count,) = db.execute("select count(*) from breakpoints where workspace = ?", [workspace]).fetchone()
            if count >= MAX_BREAKPOINTS:
                raise ConflictError(
                    f"The workspace has {MAX_BREAKPOINTS} breakpoints.", hint="`edgeloop break remove` removes some."
                )
            name = new_id("b")
            db.execute(
                "insert into breakpoints (id, workspace, kind, place, content_json, created_at) values (?, ?, ?, ?, ?, ?)",
                [name, workspace, new.kind, place, text, time.time()],
            )
            record_event(db, BreakpointAdded(name, new.kind), workspace)
            return name

        return await self.get(workspace, await self._database.write(insert))

    async def for_run(self, workspace: str, own: Sequence[NewBreakpoint], *, with_kept: bool = True) -> RunBreakpoints:
        """Return the breakpoints on operators for a run: its `own`, called `o1`, `o2`, ..., and those of the workspace.

        Raises `InvalidInputError`, also where there are more than a run takes.
        """
        for one in own:
            if one.kind != "operator":
                raise _misfit("kind", "is not operator, and a run takes no others")
        mine = [kept_breakpoint(f"o{number}", checked_operator(one)) for number, one in enumerate(own, 1)]
        kept = await self.list(workspace, "operator") if with_kept else ()
        found = (*mine, *(kept_breakpoint(one.id, one) for one in kept))
        if len(found) > MAX_OF_RUN:
            raise InvalidInputError(
                f"A run takes {MAX_OF_RUN} breakpoints on operators, and these are {len(found)}.",
                hint="`edgeloop break remove` removes some.",
            )
        return RunBreakpoints(found, with_kept)

    async def get(self, workspace: str, name: str) -> Breakpoint:
        """Return a breakpoint. Raises `NotFoundError`."""
        sql = "select * from breakpoints where workspace = ? and id = ?"
        found = await self._database.read(lambda db: [_breakpoint(row) for row in db.query(sql, [workspace, name])])
        if not found:
            raise _no_breakpoint(name)
        return found[0]

    async def remove(self, workspace: str, name: str) -> None:
        """Forget a breakpoint. Raises `NotFoundError`."""

        def delete(db: Tables) -> bool:
            sql = "delete from breakpoints where workspace = ? and id = ? returning id"
            is_removed = db.execute(sql, [workspace, name]).fetchone() is not None
            if is_removed:
                record_event(db, BreakpointRemoved(name), workspace)
            return is_removed

        if not await self._database.write(delete):
            raise _no_breakpoint(name)

    async def verified(self, found: Mapping[str, Verification]) -> None:
        """Keep what a session has made of breakpoints, by their ids; of those that are gone it is forgotten."""
        rows = [(encode_json(one).decode(), name) for name, one in found.items()]
        sql = "update breakpoints set verification_json = ? where id = ?"
        await self._database.write(lambda db: db.executemany(sql, rows))


def checked(root: Path, new: NewBreakpoint) -> NewBreakpoint:
    """Return a breakpoint that fits its kind and the workspace at `root`, its file relative to that. Reads the file.

    Raises `InvalidInputError`, `NotFoundError` for a file that is not there, `BundleError` for one outside of the workspace.
    """
    _check_place(new)
    if new.kind == "operator":
        reference_files(root, (kept_breakpoint("b0", checked_operator(new)),))  # which are there
        return new
    _refuse(new, ("action", "reference"))
    if new.first_only:
        raise _misfit("first_only", f"is not for a breakpoint of the kind {new.kind}")
    if new.kind == "exception":
        _refuse(new, ("condition", "hit_condition", "log_message"))
        return new
    if new.condition is not None:
        try:
            ast.parse(new.condition.strip(), mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise _misfit("condition", f"is no Python expression: {getattr(error, 'msg', error)}") from None
    return dataclasses.replace(new, file=_file_with_line(root, new))


def checked_operator(new: NewBreakpoint) -> NewBreakpoint:
    """Return a breakpoint on operators that can be used. Raises `InvalidInputError`."""
    _check_place(new)
    _refuse(new, ("log_message",))
    kept_breakpoint("b0", new)
    return new


def _check_place(new: NewBreakpoint) -> None:
    """Raise `InvalidInputError` unless the place fits the kind."""
    wanted = {"line": ("file", "line"), "exception": ("filter",), "operator": ("selector",)}
    for kind, names in wanted.items():
        for name in names:
            is_given = getattr(new, name) is not None
            if is_given != (kind == new.kind):
                message = f"is {'missing' if kind == new.kind else f'not for a breakpoint of the kind {new.kind}'}"
                raise _misfit(name, message)


def kept_breakpoint(name: str, one: NewBreakpoint | Breakpoint) -> RunBreakpoint:
    """Return a breakpoint on operators as a run takes it along. Raises `InvalidInputError` that names the field."""
    assert one.selector is not None
    try:
        order = OperatorBreakpointOrder(
            id=name,
            selector=one.selector,
            when=one.condition,
            action=one.action or "report",
            hit=one.hit_condition,
            reference=None if one.reference is None else reference_folder(name),
            first_only=one.first_only,
        )
    except InvalidInputError as error:
        for entry in error.details.get("fields", ()):
            entry["field"] = "condition" if entry["field"] == "when" else entry["field"]
        raise
    return RunBreakpoint(order, one.reference)


def _file_with_line(root: Path, new: NewBreakpoint) -> str:
    assert new.file is not None
    assert new.line is not None
    path = bundle_path(root.resolve(), new.file, "file")
    if not is_file(root / path):
        raise NotFoundError(f"There is no file {path} in the workspace {root}.")
    with (root / path).open("rb") as lines:
        count = sum(1 for _ in lines)
    if new.line > count:
        raise _misfit("line", f"{path} has {count} lines, and no line {new.line}")
    return path


def _refuse(new: NewBreakpoint, names: Iterable[str]) -> None:
    for name in names:
        if getattr(new, name) is not None:
            raise _misfit(name, f"is not for a breakpoint of the kind {new.kind}")


def _misfit(name: str, message: str) -> InvalidInputError:
    return InvalidInputError(
        f"The breakpoint does not fit: {name} {message}.", details={"fields": [{"field": name, "message": message}]}
    )


def _no_breakpoint(name: str) -> NotFoundError:
    return NotFoundError(f"There is no breakpoint {name[:64]!r}.", hint="`edgeloop break list` lists them.")


def _place_key(new: NewBreakpoint) -> str:
    """Return what is the same for two breakpoints at the same place."""
    return encode_json([new.kind, new.file, new.line, new.filter, new.selector]).decode()


def _breakpoint(row: Mapping[str, Any]) -> Breakpoint:
    verification = json.loads(row["verification_json"]) if row["verification_json"] else None
    return Breakpoint(
        id=row["id"],
        workspace=row["workspace"],
        kind=row["kind"],
        created_at=row["created_at"],
        verification=Verification(**verification) if verification else None,
        **json.loads(row["content_json"]),
    )
