"""The local API's listener: plain HTTP on loopback, never on another interface."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from aiohttp import web

from edgeloop_daemon.http.api import MAX_BODY_BYTES, add_routes
from edgeloop_daemon.http.guards import guards
from edgeloop_daemon.http.problems import problems
from edgeloop_daemon.http.routes import Route
from edgeloop_daemon.http.tokens import Tokens
from edgeloop_shared.errors import PortInUseError

HOST = "127.0.0.1"


@asynccontextmanager
async def local_api(routes: Iterable[Route], tokens: Tokens, port: int) -> AsyncIterator[int]:
    """Serve `routes` on loopback for the block and yield the port (`port` 0: any free one).

    Raises `PortInUseError` when another program has the port.
    """
    bound = port

    def current_port() -> int:
        return bound

    # `problems` stands outside, so that what the guards refuse is a problem response as well.
    application = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[problems, guards(tokens, current_port)])
    add_routes(application, routes)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=2)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, HOST, port).start()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise port_in_use(port, "--port") from None
        bound = int(runner.addresses[0][1])
        yield bound
    finally:
        await runner.cleanup()


def port_in_use(port: int, option: str) -> PortInUseError:
    """Return the error for a listener's port that another program has; `option` is what chooses another one."""
    return PortInUseError(
        f"Port {port} is used by another program.",
        hint=f"Choose another one with `edgeloop up {option} N`, or leave the option out to get any free port.",
        details={"port": port},
    )
