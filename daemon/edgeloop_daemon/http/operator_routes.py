"""Routes on the operators of models that run on a device: hits of breakpoints on them, and runs that wait at one."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

from edgeloop_daemon.devices.array_files import read_array_file
from edgeloop_daemon.devices.operator_control import OperatorControl
from edgeloop_daemon.devices.operator_hits import OperatorHit
from edgeloop_daemon.devices.operator_stops import OperatorStop
from edgeloop_daemon.devices.runs import Runs
from edgeloop_daemon.http.paging import LIMIT
from edgeloop_daemon.http.routes import Call, Route
from edgeloop_daemon.http.run_routes import FindWorkspace
from edgeloop_shared.errors import BundleError, ConflictError, InvalidInputError, NotFoundError, TooLargeError
from edgeloop_shared.operator_control import (
    MAX_SLICE_CHARACTERS,
    AnswerStop,
    ReadTensor,
    ReplaceTensor,
    Side,
    StopAnswer,
    TensorPart,
    parse_index,
)
from edgeloop_shared.operator_hits import MAX_HIT_TENSORS, NotFinite

_ERRORS = (NotFoundError, ConflictError)


@dataclass(frozen=True)
class OperatorHitsQuery:
    """Which hits: those behind the one with the number `after`, which is zero or an earlier answer's `next`.

    With `wait` seconds an empty list comes only when the run has ended or that time is over.
    """

    after: int = field(default=0, metadata={"ge": 0, "lt": 2**63})
    limit: int = field(default=100, metadata=LIMIT)
    wait: float = field(default=0.0, metadata={"ge": 0, "le": 30})


@dataclass(frozen=True)
class OperatorHitItems:
    """Hits in the order in which they came. `next` goes on behind them; it is null where there were no more."""

    items: tuple[OperatorHit, ...]
    next: int | None


@dataclass(frozen=True)
class OperatorStopItems:
    """The operators at which a run waits."""

    items: tuple[OperatorStop, ...]


@dataclass(frozen=True)
class Answer:
    """How a run goes on from a stop: `continue`, `skip` the operator (before it), `abort` the run; after a `dump` it waits on."""

    answer: StopAnswer


@dataclass(frozen=True)
class Replacement:
    """What replaces an input (before the operator) or an output (after it): a `.npy` file of the workspace, or one number."""

    tensor: int = field(default=0, metadata={"ge": 0, "lt": MAX_HIT_TENSORS})
    file: str | None = field(default=None, metadata={"min_length": 1, "max_length": 512})
    fill: float | NotFinite | None = None


@dataclass(frozen=True)
class TensorQuery:
    """Which tensor of the operator, and which part of it, written as an index of numpy's: `0,:,3`, `...,::2`."""

    side: Side = "out"
    tensor: int = field(default=0, metadata={"ge": 0, "lt": MAX_HIT_TENSORS})
    slice: str = field(default="...", metadata={"min_length": 1, "max_length": MAX_SLICE_CHARACTERS})


def operator_routes(runs: Runs, control: OperatorControl, find_workspace: FindWorkspace) -> tuple[Route, ...]:
    """Return the routes."""

    async def list_hits(call: Call) -> OperatorHitItems:
        query: OperatorHitsQuery = call.query
        found = await runs.operator_hits(call.path["run"], query.after, query.limit + 1, query.wait)
        shown = found[: query.limit]
        return OperatorHitItems(shown, shown[-1].number if len(found) > len(shown) else None)

    async def list_stops(call: Call) -> OperatorStopItems:
        return OperatorStopItems(await runs.operator_stops(call.path["run"]))

    async def answer(call: Call) -> None:
        run, stop = await at_stop(call)
        if stop.in_debugger and call.body.answer != "dump":
            raise ConflictError(f"A debugger has run {run} at stop {stop.stop}.", hint="Go on there.")
        await control.ask(run, AnswerStop(stop.stop, call.body.answer))

    async def replace(call: Call) -> None:
        body: Replacement = call.body
        run, stop = await at_stop(call)
        if (body.file is None) == (body.fill is None):
            raise InvalidInputError("A tensor is replaced either by a file or by one number.")
        content = b""
        if body.file is not None:
            workspace = await find_workspace((await runs.get(run)).workspace)
            content = await asyncio.to_thread(read_array_file, workspace.root, body.file)
        await control.ask(run, ReplaceTensor(stop.stop, body.tensor, len(content), body.fill), content)
        side: Side = "in" if stop.hit.phase == "before" else "out"
        with contextlib.suppress(NotFoundError):  # somebody else has let it go on
            part = await control.ask(run, ReadTensor(stop.stop, side, body.tensor, "..."))
            assert part is not None
            await runs.note_replaced(run, stop.stop, body.tensor, part.summary)

    async def read(call: Call) -> TensorPart:
        query: TensorQuery = call.query
        run, stop = await at_stop(call)
        parse_index(query.slice)
        part = await control.ask(run, ReadTensor(stop.stop, query.side, query.tensor, query.slice))
        assert part is not None
        return part

    async def at_stop(call: Call) -> tuple[str, OperatorStop]:
        """Return the run and its stop. Raises `NotFoundError` when it does not wait there."""
        run, wanted = call.path["run"], call.path["stop"].lstrip("0")
        for stop in await runs.operator_stops(run):
            if str(stop.stop) == wanted:
                return run, stop
        raise NotFoundError(f"Run {run} does not wait at that stop.", hint=f"See `edgeloop break show {run}`.")

    tag = "operators"
    stops = "/runs/{run}/operator-stops"
    one = stops + "/{stop:[0-9]+}"
    return (
        Route(
            "GET",
            "/runs/{run}/operator-hits",
            "list_operator_hits",
            "List the hits of breakpoints on operators.",
            list_hits,
            result=OperatorHitItems,
            query=OperatorHitsQuery,
            tag=tag,
        ),
        Route(
            *("GET", stops, "list_operator_stops", "List the operators at which a run waits.", list_stops),
            result=OperatorStopItems,
            tag=tag,
        ),
        Route(
            *("POST", one + "/answer", "answer_operator_stop", "Tell a run that waits how to go on.", answer),
            body=Answer,
            tag=tag,
            errors=_ERRORS,
        ),
        Route(
            *("POST", one + "/replacement", "replace_operator_tensor", "Replace a tensor of the operator.", replace),
            body=Replacement,
            tag=tag,
            errors=(*_ERRORS, BundleError, TooLargeError),
        ),
        Route(
            *("GET", one + "/tensor", "read_operator_tensor", "Read a part of a tensor of the operator.", read),
            result=TensorPart,
            query=TensorQuery,
            tag=tag,
            errors=_ERRORS,
        ),
    )
