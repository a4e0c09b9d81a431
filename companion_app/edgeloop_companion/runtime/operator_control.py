"""The worker's end of what is asked from outside of breakpoints on operators, while its script runs.

It is served by threads of the control socket. What concerns a run that waits is done by the thread that waits.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from edgeloop_companion.runtime.control_socket import accept
from edgeloop_companion.runtime.run_folder import MAX_ORDER_BYTES, RunFolder
from edgeloop_shared.codec import decode_json
from edgeloop_shared.errors import EdgeloopError, InvalidInputError
from edgeloop_shared.operator_control import (
    MAX_LINE_BYTES,
    AnswerStop,
    GiveFile,
    ReadTensor,
    ReplaceTensor,
    Reply,
    Request,
    SetBreakpoints,
    TensorPart,
    decode_request,
    encode_reply,
)
from edgeloop_task.operator_hit import OperatorHit
from edgeloop_task.operator_waits import WAITS
from edgeloop_task.outside_breakpoints import OutsideBreakpoints
from edgeloop_task.tensor_parts import part_of

_PIECE = 1024 * 1024


class OperatorControl:
    """Does in this process what is asked for."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._breakpoints = OutsideBreakpoints(folder.files)
        self._numbers = itertools.count()

    def begin(self) -> None:
        """Turn the breakpoints on that lie in the run's folder. Raises `InvalidInputError` and `NotFoundError`."""
        content = self._folder.breakpoints.read_bytes()
        self._breakpoints.set(decode_json(SetBreakpoints, content, max_bytes=MAX_ORDER_BYTES).breakpoints)

    def serve(self, connection: socket.socket) -> None:
        """Answer the requests on a connection until its end."""
        accept(connection)
        with connection.makefile("rb") as stream:
            while line := stream.readline(MAX_LINE_BYTES + 1):
                try:
                    request = decode_request(line)
                except EdgeloopError as error:
                    connection.sendall(encode_reply(Reply(error.as_dict())))
                    return  # nobody knows where the next one begins
                with ExitStack() as afterwards:
                    connection.sendall(encode_reply(self._reply(request, stream, afterwards)))

    def _reply(self, request: Request, stream: BinaryIO, afterwards: ExitStack) -> Reply:
        """Do what is asked for; what must wait until the reply is sent is done when `afterwards` ends."""
        with self._given(request, stream) as given:
            try:
                if isinstance(request, AnswerStop) and request.answer != "dump":
                    afterwards.callback(WAITS.stop(request.stop).settle(request.answer))
                    return Reply()
                return Reply(part=self._do(request, given))
            except EdgeloopError as error:
                return Reply(error.as_dict())
            except OSError as error:
                return Reply(EdgeloopError(f"The device cannot do that: {error.strerror or error}.").as_dict())

    def _do(self, request: Request, given: Path) -> TensorPart | None:
        match request:
            case SetBreakpoints(breakpoints):
                self._breakpoints.set(breakpoints)
            case GiveFile(path):
                target = self._folder.files / path
                target.parent.mkdir(parents=True, exist_ok=True)
                given.replace(target)
            case AnswerStop(stop):
                WAITS.stop(stop).ask(OperatorHit.dump)
            case ReplaceTensor(stop, tensor, _, None):
                WAITS.stop(stop).ask(lambda hit: hit.replace(given, tensor))
            case ReplaceTensor(stop, tensor, _, fill):
                WAITS.stop(stop).ask(lambda hit: _fill(hit, tensor, float(fill or 0)))
            case ReadTensor(stop):
                return WAITS.stop(stop).ask(lambda hit: _part(hit, request))
        return None

    @contextmanager
    def _given(self, request: Request, stream: BinaryIO) -> Iterator[Path]:
        """Read the bytes that a request announces into a file, for the block."""
        path = self._folder.root / f"given-{next(self._numbers)}.npy"
        left = request.size if isinstance(request, ReplaceTensor | GiveFile) else 0
        try:
            if left or isinstance(request, GiveFile):
                with path.open("wb") as file:
                    while left:
                        piece = stream.read(min(left, _PIECE))
                        if not piece:
                            raise ConnectionError("the bytes of a request end too early")
                        left -= len(piece)
                        file.write(piece)
            yield path
        finally:
            path.unlink(missing_ok=True)


def _fill(hit: OperatorHit, tensor: int, value: float) -> None:
    if tensor < len(hit.tensors):
        hit.replace(np.full(hit.tensors[tensor].shape, value), tensor)
    else:
        hit.replace(value, tensor)  # which says that there is none


def _part(hit: OperatorHit, request: ReadTensor) -> TensorPart:
    tensors = hit.inputs if request.side == "in" else hit.outputs
    if request.tensor >= len(tensors):
        there = "no outputs yet" if request.side == "out" and hit.phase == "before" else f"{len(tensors)} of these"
        raise InvalidInputError(
            f"The operator {hit.name} has no tensor {request.side}[{request.tensor}]: it has {there}.",
            hint="They are numbered from 0.",
        )
    what = f"{request.side}[{request.tensor}] of {hit.name}"
    return part_of(tensors[request.tensor].array, request.part, what)
