"""Who may speak to the local API: this machine's own programs that hold a token, and no web page of anybody else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from edgeloop_daemon.http.rates import Rates
from edgeloop_daemon.http.tokens import Tokens
from edgeloop_shared.errors import ForbiddenError, InvalidInputError, MisdirectedError, UnauthorizedError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
PREFIX = "/api/v1"
PROTOCOL = "edgeloop.v1"
"""The WebSocket's subprotocol."""
TOKEN_NAME: web.RequestKey[str] = web.RequestKey("token_name", str)
"""The name of the token that a request came with."""


def guards(tokens: Tokens, rates: Rates, port: Callable[[], int]) -> Middleware:
    """Return the middleware. `port` tells the port that the server listens on (known only after it has started)."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        hosts = [f"{name}:{port()}" for name in LOOPBACK_NAMES]
        given_hosts = request.headers.getall("Host", [])
        if len(given_hosts) != 1 or given_hosts[0] not in hosts:
            # A page of another site that rebinds its DNS name to this machine arrives with its own name here.
            raise MisdirectedError(
                f"This server is not {', '.join(given_hosts)[:100] or 'a nameless host'}.",
                hint=f"Use http://{hosts[0]} as the address.",
            )
        origins = request.headers.getall("Origin", [])
        if any(origin not in [f"http://{host}" for host in hosts] for origin in origins):
            raise ForbiddenError(f"Requests from {', '.join(origins)[:100]} are refused.")
        if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
            raise ForbiddenError("Requests that another site causes are refused.")
        if "Content-Encoding" in request.headers or request.headers.get("Transfer-Encoding", "chunked") != "chunked":
            raise InvalidInputError("Encoded bodies are refused.", hint="Send the body as it is.")
        if request.path.startswith("/api/"):
            name = tokens.name_of(_token(request))
            if name is None:
                rates.count_wrong_token()
                raise UnauthorizedError(
                    "The request carries no token that is accepted.",
                    hint="Send `Authorization: Bearer <token>`: the runtime file's, or one of `edgeloop token new`.",
                )
            rates.count(name)
            if not tokens.allows(name, request.method, request.rel_url.raw_path.removeprefix(PREFIX)):
                raise ForbiddenError(
                    "The token of a job opens only what the job runs on devices.",
                    hint="Use JobContext.run_on_device; a token of your own is made by `edgeloop token new`.",
                )
            request[TOKEN_NAME] = name
        return await handler(request)

    return guard


def _token(request: web.Request) -> str:
    """Return the text of the request's token, or an empty one, which no token is."""
    headers = request.headers.getall("Authorization", [])
    if headers:
        scheme, _, token = headers[0].partition(" ") if len(headers) == 1 else ("", "", "")
        return token.strip() if scheme.lower() == "bearer" else ""
    # A browser cannot set headers of a WebSocket, except for the subprotocols that it asks for.
    offered = [name.strip() for name in ",".join(request.headers.getall("Sec-WebSocket-Protocol", [])).split(",")]
    bearers = [name.removeprefix("bearer.") for name in offered if name.startswith("bearer.")]
    return bearers[0] if len(bearers) == 1 and PROTOCOL in offered else ""
