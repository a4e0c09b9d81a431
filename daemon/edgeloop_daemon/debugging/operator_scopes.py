"""What an editor sees and does where a run stands at an operator: two scopes beside the frame, and commands in the console.

`Operator` says where, `Tensors` holds its inputs and outputs with their statistics and, row by row, their numbers. A tensor
is set to a number or to a `.npy` file of the workspace. In the console `skip()`, `abort()`, `dump()` and
`replace(0, "x.npy")` do what they say.
"""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from edgeloop_daemon.debugging.dap import Body, Request, Response
from edgeloop_daemon.debugging.debugger import OnAnswer
from edgeloop_daemon.debugging.interceptors import Debuggee
from edgeloop_daemon.devices.array_files import read_array_file
from edgeloop_daemon.devices.operator_control import OperatorControl
from edgeloop_daemon.devices.operator_stops import OperatorStop
from edgeloop_daemon.devices.runs import Runs
from edgeloop_shared.codec import printable
from edgeloop_shared.errors import EdgeloopError, InvalidInputError, NotFoundError
from edgeloop_shared.operator_control import AnswerStop, ReadTensor, ReplaceTensor, Side, StopAnswer
from edgeloop_shared.operator_hits import TensorSummary

_FIRST_REFERENCE = 1 << 30  # debugpy's own begin at 1
_MAX_REFERENCES = 10_000
_ROWS = 100  # of a tensor that are shown, unless the editor asks for others
_STOP_SECONDS = 5.0  # for which the device's word of a stop is waited for
_COMMANDS = frozenset(("skip", "abort", "dump", "replace"))


@dataclass(frozen=True)
class _Tensor:
    """A part of a tensor: `prefix` are indexes of its first axes."""

    side: Side
    number: int
    prefix: tuple[int, ...] = ()


class OperatorScopes:
    """The stop at an operator at which a session stands, if it does."""

    def __init__(self, debuggee: Debuggee, runs: Runs, control: OperatorControl) -> None:
        self._debuggee = debuggee
        self._runs = runs
        self._control = control
        self._thread: int | None = None
        self._frame: int | None = None
        self._stop: asyncio.Task[OperatorStop] | None = None
        self._references: list[str | _Tensor] = []
        self._last: tuple[str, int] = ("", 0)  # the run and the stop that was shown last

    def stopped(self, body: Body, *, at_operator: bool) -> None:
        """The session stands, at an operator or elsewhere."""
        self.continued()
        thread = body.get("threadId")
        if at_operator and isinstance(thread, int):
            self._thread = thread
            self._stop = asyncio.ensure_future(self._newest_stop())
            self._stop.add_done_callback(lambda task: task.cancelled() or task.exception())

    def continued(self) -> None:
        """It goes on."""
        if self._stop is not None:
            self._stop.cancel()
        self._thread = self._frame = self._stop = None
        self._references = []

    def see_response(self, request: Request, response: Response) -> None:
        """Learn which frame stands at the operator: the top one of the stopped thread."""
        frames = response.body.get("stackFrames")
        if request.command != "stackTrace" or self._frame is not None or not isinstance(frames, list) or not frames:
            return
        if request.arguments.get("threadId") == self._thread and not request.arguments.get("startFrame"):
            top = frames[0]
            self._frame = top.get("id") if isinstance(top, dict) else None

    def take_request(self, request: Request, answer: OnAnswer) -> bool:
        """Answer what is about the operator."""
        if self._stop is None:
            return False
        work: Awaitable[Body] | None = None
        arguments = request.arguments
        match request.command:
            case "scopes" if self._frame is not None and arguments.get("frameId") == self._frame:
                work = self._show_scopes(arguments)
            case "variables" if (shown := self._shown(arguments)) is not None:
                work = self._variables(shown, arguments)
            case "setVariable" if self._shown(arguments) == "tensors":
                work = self._set_variable(arguments)
            case "evaluate" if (command := _command(arguments)) is not None:
                work = self._obey(*command)
        if work is None:
            return False
        self._debuggee.spawn(_answering(request, answer, work))
        return True

    def data_info(self, arguments: Body) -> Body:
        """Return by which selector a tensor of the stop is watched from now on."""
        name = arguments.get("name")
        stop = self._stop.result() if self._stop is not None and self._stop.done() else None
        if stop is None or self._shown(arguments) != "tensors" or not isinstance(name, str):
            return {"dataId": None, "description": "Only tensors of an operator can be watched."}
        quoted = stop.hit.operator.replace("\\", "\\\\").replace('"', '\\"')
        when = " before" if name.startswith("in") else ""
        return {
            "dataId": f'op:"{quoted}"{when}',
            "description": f"{printable(stop.hit.operator, 60)} becomes NaN or infinite (or its condition holds)",
            "accessTypes": ["write"],
            "canPersist": True,
        }

    async def _newest_stop(self) -> OperatorStop:
        """Return the stop that the device has told of, as soon as it has."""
        run_id = self._debuggee.run
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                while True:
                    changed = self._runs.change(run_id)
                    # The device's word that the last stop is over may come after the debugger's that it stands again.
                    over = self._last[1] if self._last[0] == run_id else 0
                    stops = await self._runs.operator_stops(run_id)
                    if new := [one for one in stops if one.in_debugger and one.stop > over]:
                        self._last = run_id, new[-1].stop
                        return new[-1]
                    await changed.wait()
        except TimeoutError:
            raise NotFoundError("The device has not said at which operator it stands.") from None

    async def _now(self) -> OperatorStop:
        if self._stop is None:
            raise NotFoundError("The run has gone on.")
        return await asyncio.shield(self._stop)

    async def _show_scopes(self, arguments: Body) -> Body:
        theirs = await self._debuggee.request("scopes", arguments)
        stop = await self._now()
        ours = [
            {"name": "Operator", "variablesReference": self._reference("operator"), "expensive": False},
            {
                "name": "Tensors",
                "variablesReference": self._reference("tensors"),
                "namedVariables": len(stop.inputs) + len(stop.outputs),
                "expensive": False,
            },
        ]
        listed = theirs.get("scopes")
        return {**theirs, "scopes": [*ours, *(listed if isinstance(listed, list) else ())]}

    async def _variables(self, shown: str | _Tensor, arguments: Body) -> Body:
        stop = await self._now()
        if shown == "operator":
            return {"variables": _about(stop)}
        if isinstance(shown, _Tensor):
            return {"variables": await self._numbers(stop, shown, arguments)}
        return {
            "variables": [
                self._variable(f"{side}[{number}]", summary, _Tensor(side, number))
                for side, number, summary in _tensors(stop)
            ]
        }

    async def _numbers(self, stop: OperatorStop, shown: _Tensor, arguments: Body) -> list[dict[str, Any]]:
        """Return the statistics of a tensor and the entries of its next axis."""
        index = ",".join(map(str, shown.prefix))
        part = await self._control.ask(
            self._debuggee.run, ReadTensor(stop.stop, shown.side, shown.number, index or "...")
        )
        assert part is not None
        shape = part.summary.shape
        first, most = _paging(arguments)
        rows: list[dict[str, Any]] = []
        if arguments.get("filter") != "indexed" and not first:
            rows += [_plain(name, value) for name, value in _statistics(part.summary)]
        if arguments.get("filter") == "named" or not shape:
            return rows if shape else [*rows, *(_plain("value", value) for value in part.values[:1])]
        for entry in range(first, min(shape[0], first + most)):
            inner = replace(shown, prefix=(*shown.prefix, entry))
            if len(shape) > 1:
                dimensions = "x".join(map(str, shape[1:]))
                rows.append({"name": f"[{entry}]", "value": dimensions, "variablesReference": self._reference(inner)})
            elif entry < len(part.values):
                rows.append(_plain(f"[{entry}]", part.values[entry]))
        return rows

    def _variable(self, name: str, summary: TensorSummary, tensor: _Tensor) -> dict[str, Any]:
        return {
            "name": name,
            "value": _summary_words(summary),
            "type": f"tensor {summary.dtype}",
            "variablesReference": self._reference(tensor),
            "indexedVariables": summary.shape[0] if summary.shape else 0,
            "namedVariables": 9,
        }

    async def _set_variable(self, arguments: Body) -> Body:
        stop = await self._now()
        name, text = str(arguments.get("name", "")), str(arguments.get("value", ""))
        for side, number, _ in _tensors(stop):
            if name == f"{side}[{number}]":
                if (side == "in") is not (stop.hit.phase == "before"):
                    raise InvalidInputError("After an operator its outputs can be replaced, before it its inputs.")
                await self._replace(stop, number, _literal(text))
                part = await self._control.ask(self._debuggee.run, ReadTensor(stop.stop, side, number))
                assert part is not None
                return {"value": _summary_words(part.summary)}
        raise InvalidInputError(f"There is no tensor {name[:60]!r}.")

    async def _obey(self, name: str, values: list[Any]) -> Body:
        """Do what a command of the console says."""
        stop = await self._now()
        if name == "replace":
            if len(values) != 2 or type(values[0]) is not int or not 0 <= values[0] < 64:
                raise InvalidInputError('Write replace(0, "x.npy") or replace(0, 0.5).')
            await self._replace(stop, values[0], values[1])
            return _said(f"tensor {values[0]} is replaced")
        if values:
            raise InvalidInputError(f"{name}() takes nothing.")
        answer: StopAnswer = "skip" if name == "skip" else "abort" if name == "abort" else "dump"
        await self._control.ask(self._debuggee.run, AnswerStop(stop.stop, answer))
        if name == "dump":
            return _said("the tensors come back as files of the run")
        self._debuggee.ask("continue", {"threadId": self._thread}, lambda _: None)
        return _said("the run goes on without the operator" if name == "skip" else "the run is aborted")

    async def _replace(self, stop: OperatorStop, number: int, value: Any) -> None:
        if isinstance(value, str):
            content = await asyncio.to_thread(read_array_file, self._debuggee.root, value)
            request = ReplaceTensor(stop.stop, number, len(content))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            content, request = b"", ReplaceTensor(stop.stop, number, fill=float(value))
        else:
            raise InvalidInputError("A tensor becomes a number, or the array of a `.npy` file of the workspace.")
        await self._control.ask(self._debuggee.run, request, content)

    def _reference(self, shown: str | _Tensor) -> int:
        if shown in self._references:
            return _FIRST_REFERENCE + self._references.index(shown)
        if len(self._references) >= _MAX_REFERENCES:
            return 0
        self._references.append(shown)
        return _FIRST_REFERENCE + len(self._references) - 1

    def _shown(self, arguments: Body) -> str | _Tensor | None:
        reference = arguments.get("variablesReference")
        if not isinstance(reference, int) or not 0 <= reference - _FIRST_REFERENCE < len(self._references):
            return None
        return self._references[reference - _FIRST_REFERENCE]


async def _answering(request: Request, answer: Callable[[Response], None], work: Awaitable[Body]) -> None:
    try:
        response = request.answered(await work)
    except EdgeloopError as error:
        response = request.refused(error)
    answer(response)


def _command(arguments: Body) -> tuple[str, list[Any]] | None:
    """Return the command that an expression of the console is, and its values; None for anything else."""
    text = arguments.get("expression")
    if not isinstance(text, str) or arguments.get("context") not in ("repl", None) or len(text) > 1000:
        return None
    try:
        match ast.parse(text.strip(), mode="eval").body:
            case ast.Call(ast.Name(name), values, []) if name in _COMMANDS:
                return name, [ast.literal_eval(value) for value in values]
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        pass
    return None


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text.strip())
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return text.strip()


def _tensors(stop: OperatorStop) -> list[tuple[Side, int, TensorSummary]]:
    found: list[tuple[Side, int, TensorSummary]] = [("in", number, one) for number, one in enumerate(stop.inputs)]
    return found + [("out", number, one) for number, one in enumerate(stop.outputs)]


def _about(stop: OperatorStop) -> list[dict[str, Any]]:
    hit = stop.hit
    return [
        _plain("name", hit.operator),
        _plain("type", hit.operator_type),
        *([_plain("source", hit.source)] if hit.source else []),
        _plain("index", hit.index),
        _plain("model", hit.model),
        _plain("run", hit.iteration),
        _plain("phase", hit.phase),
        _plain("breakpoint", hit.breakpoint),
        _plain("hits", hit.hit),
    ]


def _statistics(summary: TensorSummary) -> list[tuple[str, Any]]:
    named = ("count", "nan_count", "inf_count", "min", "max", "mean", "std", "abs_max", "p99_abs")
    return [(name, getattr(summary, name)) for name in named]


def _plain(name: str, value: Any) -> dict[str, Any]:
    text = (
        repr(value)
        if isinstance(value, str) and name in ("name", "type", "source", "model", "breakpoint")
        else str(value)
    )
    return {"name": name, "value": printable(text, 500), "type": type(value).__name__, "variablesReference": 0}


def _summary_words(summary: TensorSummary) -> str:
    bad = [(summary.nan_count, "NaN"), (summary.inf_count, "inf")]
    figures = ((name, getattr(summary, name)) for name in ("min", "max", "mean"))
    words = [f"{summary.dtype} [{', '.join(map(str, summary.shape))}]"]
    words += [f"{count} {word}" for count, word in bad if count]
    words += [f"{name} {value:.4g}" for name, value in figures if value is not None]
    return ", ".join(words)


def _paging(arguments: Body) -> tuple[int, int]:
    first, most = arguments.get("start"), arguments.get("count")
    return (
        first if isinstance(first, int) and first > 0 else 0,
        min(most, _ROWS) if isinstance(most, int) and most > 0 else _ROWS,
    )


def _said(text: str) -> Body:
    return {"result": text, "variablesReference": 0}
