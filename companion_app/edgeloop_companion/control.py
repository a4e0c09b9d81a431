"""Controlling a companion that has no screen: another process of the same user lists its computers and tasks, and ends them.

Over a UNIX socket in the state folder goes one line of JSON each way: a `Request`, and its `Answer` or `{"error": {...}}`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from edgeloop_companion.companion import Companion
from edgeloop_companion.doctor.examination import advertised_by
from edgeloop_companion.doctor.subject import Advertised
from edgeloop_companion.host import Host
from edgeloop_companion.link.farewells import GOODBYE_SECONDS, tell
from edgeloop_companion.link.pairing import Pairing
from edgeloop_companion.link.pairings import Pairings
from edgeloop_companion.runtime.control_socket import peer_uid, short_path
from edgeloop_companion.runtime.storage import StateFolder
from edgeloop_shared.codec import decode, decode_json, encode_json, parse_json, printable
from edgeloop_shared.errors import EdgeloopError, InvalidInputError, NotFoundError, error_from_dict
from edgeloop_shared.messages import ID_PATTERN
from edgeloop_shared.models import NAME_PATTERN, RunState
from edgeloop_shared.process_lock import held

MAX_REQUEST_BYTES = 4096
MAX_ANSWER_BYTES = 1024 * 1024
REQUEST_SECONDS = 10.0
ANSWER_SECONDS = 60.0  # runs are cancelled, and how they ended is stored

Action = Literal["list", "on", "off", "forget", "tasks", "stop", "advertised"]


@dataclass(frozen=True)
class Request:
    """What is asked for. `computer` is the name or the `device_id` of one, `run` the id of a task that is to be stopped."""

    action: Action
    computer: str = field(default="", metadata={"max_length": 64})
    run: str = field(default="", metadata={"max_length": 64})


@dataclass(frozen=True)
class PairedComputer:
    """A computer that this device is paired with. `last_seen` is in seconds since the UNIX epoch."""

    device_id: str = field(metadata={"pattern": ID_PATTERN})
    name: str = field(metadata={"max_length": 64, "pattern": NAME_PATTERN})
    state: Literal["linked", "away", "off"]
    addresses: tuple[str, ...] = field(metadata={"max_length": 8})
    port: int
    last_seen: float | None
    runs: int


@dataclass(frozen=True)
class DeviceTask:
    """A task that is at work on this device or waits for its turn. `device_id` tells which computer gave it."""

    run: str = field(metadata={"pattern": ID_PATTERN})
    computer: str = field(metadata={"max_length": 64, "pattern": NAME_PATTERN})
    device_id: str = field(metadata={"pattern": ID_PATTERN})
    workspace: str
    script: str
    state: RunState


@dataclass(frozen=True)
class Answer:
    """What there is once a request was carried out: what it was about. `advertised` is None where no companion runs."""

    computers: tuple[PairedComputer, ...] = ()
    tasks: tuple[DeviceTask, ...] = ()
    advertised: Advertised | None = None


async def carry_out(companion: Companion, request: Request) -> Answer:
    """Do what is asked for, and return what there is then. Raises `NotFoundError`, `InvalidInputError`."""
    match request.action:
        case "advertised":
            return Answer(advertised=advertised_by(companion))
        case "tasks":
            return Answer(tasks=_tasks(companion))
        case "stop":
            await _host_of(companion, request.run).stop_run(request.run)
            return Answer(tasks=_tasks(companion))
        case "forget":
            await companion.forget(_find(companion.pairings, request.computer).device_id)
        case "on" | "off":
            device_id = _find(companion.pairings, request.computer).device_id
            await companion.switch(device_id, is_on=request.action == "on")
    return Answer(tuple(_paired(pairing, companion.host(pairing)) for pairing in companion.pairings))


def carry_out_at_rest(pairings: Pairings, request: Request) -> Answer:
    """Do the same where no companion runs: the next one cancels runs, and tells who is forgotten and away now. Blocks."""
    match request.action:
        case "tasks" | "advertised":
            return Answer()
        case "stop":
            raise _no_task(request.run)
        case "forget":
            pairings.give_up(_find(tuple(pairings), request.computer))
            asyncio.run(_tell_now(pairings))
        case "on" | "off":
            pairings.update(replace(_find(tuple(pairings), request.computer), is_on=request.action == "on"))
    return Answer(tuple(_paired(pairing, None) for pairing in pairings))


async def _tell_now(pairings: Pairings) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GOODBYE_SECONDS):
            await tell(pairings, pairings.untold)


@contextlib.asynccontextmanager
async def controlled(companion: Companion, path: Path) -> AsyncIterator[None]:
    """Take requests at the socket `path` for the block; the caller holds the lock of the folder that it lies in."""
    serving: set[asyncio.Task[None]] = set()
    silent: set[asyncio.StreamWriter] = set()  # those of whom nothing has come yet

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            silent.add(writer)
            try:
                request = await _request(reader, writer.get_extra_info("socket"))
                silent.discard(writer)
                answer = encode_json(await carry_out(companion, request))
            except EdgeloopError as error:
                answer = encode_json({"error": error.as_dict()})
            except OSError as error:
                reason = error.strerror or "nothing was asked for"
                failure = EdgeloopError(
                    f"That cannot be done: {reason}.", hint="Check the state folder, and try again."
                )
                answer = encode_json({"error": failure.as_dict()})
            finally:
                silent.discard(writer)
            if not writer.is_closing():  # else whoever asked has gone
                writer.write(answer + b"\n")

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        serving.add(task)
        task.add_done_callback(serving.discard)

    listening = await asyncio.to_thread(_bound, path)
    server = await asyncio.start_unix_server(begin, sock=listening, limit=MAX_REQUEST_BYTES)
    try:
        yield
    finally:
        server.close()
        for writer in silent:
            writer.transport.abort()
        await asyncio.gather(*serving)  # what was asked for is carried out
        await asyncio.to_thread(path.unlink, missing_ok=True)


def request_of(folder: Path, request: Request) -> Answer:
    """Have a request carried out for the state folder, by the companion that uses it or else here. Blocks.

    Raises what `carry_out` raises, `SettingsError`, and `EdgeloopError` when there is no answer.
    """
    state_folder = StateFolder(folder)
    with held(state_folder.lock) as is_ours:
        if is_ours:
            return carry_out_at_rest(Pairings(state_folder.pairings), request)
        return _ask(state_folder.control, request)


def _ask(path: Path, request: Request) -> Answer:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(ANSWER_SECONDS)
            with short_path(path) as short:
                connection.connect(short)
            connection.sendall(encode_json(request) + b"\n")
            with connection.makefile("rb") as answers:
                line = answers.readline(MAX_ANSWER_BYTES)
    except OSError as error:
        raise EdgeloopError(
            f"The companion that uses this state folder does not answer: {error.strerror or 'it takes too long'}.",
            hint="Its log may say why; stop it, and try again.",
        ) from None
    answer = parse_json(line, max_bytes=MAX_ANSWER_BYTES)
    if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
        raise error_from_dict(answer["error"])
    return decode(Answer, answer)


async def _request(reader: asyncio.StreamReader, connection: Any) -> Request:
    if peer_uid(connection) != os.getuid():
        raise InvalidInputError("Only the user of this device controls it.")
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            line = await reader.readline()
    except ValueError:
        raise InvalidInputError("The request is too long.") from None
    return decode_json(Request, line, max_bytes=MAX_REQUEST_BYTES)


def _bound(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)  # of a companion that was killed
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with short_path(path) as short:
        listening.bind(short)
    return listening


def _find(pairings: tuple[Pairing, ...], wanted: str) -> Pairing:
    found = [pairing for pairing in pairings if wanted in (pairing.device_id, pairing.host_name)]
    if len(found) > 1:
        raise InvalidInputError(
            f"{len(found)} computers are called {printable(wanted)!r}.",
            hint=f"Name one by its device_id: {', '.join(pairing.device_id for pairing in found)}.",
        )
    if not found:
        raise NotFoundError(
            f"This device is not paired with a computer {printable(wanted)!r}.", hint="`--computers` lists them."
        )
    return found[0]


def _tasks(companion: Companion) -> tuple[DeviceTask, ...]:
    return tuple(
        DeviceTask(
            command.run_id,
            host.pairing.host_name,
            host.pairing.device_id,
            command.workspace_name or command.workspace,
            command.script,
            state,
        )
        for host in companion.hosts
        for command, state in host.runs_at_work()
    )


def _host_of(companion: Companion, run_id: str) -> Host:
    for host in companion.hosts:
        if any(command.run_id == run_id for command, _ in host.runs_at_work()):
            return host
    raise _no_task(run_id)


def _no_task(run_id: str) -> NotFoundError:
    return NotFoundError(
        f"No task {printable(run_id)!r} is at work on this device.",
        hint="It may have ended just now; `--tasks` lists those that are at work.",
    )


def _paired(pairing: Pairing, host: Host | None) -> PairedComputer:
    is_linked = host is not None and host.address is not None
    return PairedComputer(
        device_id=pairing.device_id,
        name=pairing.host_name,
        state="linked" if is_linked else "away" if pairing.is_on else "off",
        addresses=pairing.addresses,
        port=pairing.port,
        last_seen=pairing.last_seen,
        runs=0 if host is None else host.run_count,
    )
