"""The local API's listener: plain HTTP on loopback, never on another interface."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from aiohttp import web

from edgeloop_daemon.accepting import request_log
from edgeloop_daemon.http.api import MAX_BODY_BYTES, add_routes
from edgeloop_daemon.http.guards import guards
from edgeloop_daemon.http.idempotency import IdempotencyKeys
from edgeloop_daemon.http.problems import problems
from edgeloop_daemon.http.rates import Rates
from edgeloop_daemon.http.routes import Route
from edgeloop_daemon.http.strangers import Strangers
from edgeloop_daemon.http.streams import Streams
from edgeloop_daemon.http.tokens import Tokens
from edgeloop_shared.errors import PortInUseError

HOST = "127.0.0.1"
_BACKLOG = 128


@asynccontextmanager
async def local_api(
    routes: Iterable[Route],
    tokens: Tokens,
    port: int,
    *,
    streams: Streams | None = None,
    keys: IdempotencyKeys | None = None,
    rates: Rates | None = None,
) -> AsyncIterator[int]:
    """Serve `routes` on loopback for the block and yield the port (`port` 0: any free one).

    At the end the `streams` of the routes are closed. `keys` are those of requests that start work, `rates` how often anybody
    may ask. Raises `PortInUseError` when another program has the port.
    """
    strangers = Strangers()
    bound = port
    # `problems` stands outside, so that what the guards refuse is a problem response as well.
    middlewares = [problems, guards(tokens, rates or Rates(), lambda: bound), strangers.middleware]
    application = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=middlewares)
    add_routes(application, routes, keys)
    if streams is not None:
        application.on_shutdown.append(lambda _: streams.close())
    # Bodies are never decompressed, not even those that the guards refuse.
    runner = web.AppRunner(
        application,
        access_log=None,
        shutdown_timeout=2,
        auto_decompress=False,
        lingering_time=1.0,
        logger=request_log(),
    )
    await runner.setup()
    assert runner.server is not None
    try:
        listening = _listen(port)
        bound = int(listening.getsockname()[1])
        serving = asyncio.create_task(strangers.serve(listening, runner.server))
        try:
            yield bound
        finally:
            serving.cancel()
            await asyncio.wait({serving})
    finally:
        await runner.cleanup()


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port), backlog=_BACKLOG)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise port_in_use(port, "--port") from None


def port_in_use(port: int, option: str) -> PortInUseError:
    """Return the error for a listener's port that another program has; `option` is what chooses another one."""
    return PortInUseError(
        f"Port {port} is used by another program.",
        hint=f"Choose another one with `edgeloop up {option} N`, or leave the option out to get any free port.",
        details={"port": port},
    )
