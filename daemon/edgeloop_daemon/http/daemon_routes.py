"""Routes on the daemon itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from edgeloop_daemon.doctor.checks import Examination
from edgeloop_daemon.http.routes import Call, Route


@dataclass(frozen=True)
class Status:
    """The daemon as it runs. `device_port` is None while the device port is closed: no device is paired.

    `device_addresses` are this computer's own ones that phones are told to dial. `database_problem` says why the database is
    only read, and is None while it is sound.
    """

    version: str
    pid: int
    started_at: float
    api_port: int
    device_port: int | None
    device_addresses: tuple[str, ...]
    home: str
    log: str
    database_problem: str | None


@dataclass(frozen=True)
class Shutdown:
    """What to do with running jobs when the daemon stops; they go on by default."""

    stop_jobs: bool = False


def daemon_routes(
    status: Callable[[], Status],
    shut_down: Callable[[bool], Awaitable[None]],
    examination: Callable[[], Awaitable[Examination]],
) -> tuple[Route, ...]:
    """Return the routes; `shut_down(stop_jobs)` begins the end and returns at once."""

    async def get_status(_: Call) -> Status:
        return status()

    async def post_shutdown(call: Call) -> None:
        await shut_down(call.body.stop_jobs)

    async def get_doctor(_: Call) -> Examination:
        return await examination()

    return (
        Route("GET", "/doctor", "examine", "Check the installation; takes seconds.", get_doctor, result=Examination),
        Route("GET", "/status", "get_status", "Tell what runs where.", get_status, result=Status),
        Route("POST", "/shutdown", "shut_down", "Stop the daemon.", post_shutdown, body=Shutdown),
    )
