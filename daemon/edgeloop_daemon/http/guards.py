"""Who may speak to the local API: this machine's own programs that hold a token, and no web page of anybody else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from edgeloop_daemon.http.tokens import Tokens
from edgeloop_shared.errors import ForbiddenError, InvalidInputError, MisdirectedError, UnauthorizedError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
PROTOCOL = "edgeloop.v1"
"""The WebSocket's subprotocol."""
TOKEN_NAME: web.RequestKey[str] = web.RequestKey("token_name", str)
"""The name of the token that a request came with."""


def guards(tokens: Tokens, port: Callable[[], int]) -> Middleware:
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
            request[TOKEN_NAME] = _require_token(tokens, request)
        response = await handler(request)
        if not response.prepared:
            response.headers.setdefault("Cache-Control", "no-store")
            response.headers.setdefault("X-Content-Type-Options", "nosniff")
            response.headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        return response

    return guard


def _require_token(tokens: Tokens, request: web.Request) -> str:
    """Return the name of the request's token. Raises `UnauthorizedError`."""
    token = _token(request)
    name = tokens.name_of(token) if token else None
    if name is None:
        raise UnauthorizedError(
            "The request's token is not accepted." if token else "The request carries no valid token.",
            hint="Send `Authorization: Bearer <token>` with the token of the daemon's runtime file.",
        )
    return name


def _token(request: web.Request) -> str:
    headers = request.headers.getall("Authorization", [])
    if headers:
        scheme, _, token = headers[0].partition(" ") if len(headers) == 1 else ("", "", "")
        return token.strip() if scheme.lower() == "bearer" else ""
    # A browser cannot set headers of a WebSocket, except for the subprotocols that it asks for.
    offered = [name.strip() for name in ",".join(request.headers.getall("Sec-WebSocket-Protocol", [])).split(",")]
    bearers = [name.removeprefix("bearer.") for name in offered if name.startswith("bearer.")]
    return bearers[0] if len(bearers) == 1 and PROTOCOL in offered else ""
