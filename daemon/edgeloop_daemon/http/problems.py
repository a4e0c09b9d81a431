"""Every error of the local API as RFC 9457 problem details, with edgeloop's own stable code."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from edgeloop_daemon.store.failures import disk_failure
from edgeloop_shared.codec import encode_json
from edgeloop_shared.errors import EdgeloopError, RateLimitedError, UnauthorizedError

_log = logging.getLogger(__name__)
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_CODES = {404: "not-found", 405: "method-not-allowed", 408: "request-timeout", 413: "too-large"}


def problem(status: int, code: str, message: str, **members: Any) -> web.Response:
    """Return a problem response; `members` are added to the standard ones where they are not empty."""
    body = {
        "type": f"urn:edgeloop:error:{code}",
        "title": code.replace("-", " ").capitalize(),
        "status": status,
        "detail": message,
        "code": code,
        **{name: value for name, value in members.items() if value},
    }
    return web.Response(status=status, body=encode_json(body), content_type="application/problem+json")


def problem_of(error: EdgeloopError) -> web.Response:
    """Return the problem response of an error of ours."""
    response = problem(error.http_status, error.code, error.message, hint=error.hint, details=error.details)
    if response.status == RateLimitedError.http_status:
        response.headers["Retry-After"] = str(error.details.get("retry_after", 1))
    elif response.status == UnauthorizedError.http_status:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


@web.middleware
async def problems(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Turn whatever a handler raises into a problem response, and let no browser keep, guess about or frame an answer."""
    response = await _answer(request, handler)
    if not response.prepared:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
    return response


async def _answer(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Return a handler's answer or the problem that it raises; what is not ours is a bug and goes to the log."""
    try:
        return await handler(request)
    except EdgeloopError as error:
        return problem_of(error)
    except web.HTTPException as error:
        code = _CODES.get(error.status, "bad-request")
        response = problem(error.status, code, f"{request.method} {request.path}: {error.reason}.")
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except Exception as error:
        if isinstance(error, ConnectionResetError) and (request.transport is None or request.transport.is_closing()):
            return web.Response(status=499)  # the client has gone, as it may at any time: nobody hears this answer
        if isinstance(error, OSError) and (failure := disk_failure(error)) is not None:
            return problem_of(failure)
        _log.exception("%s %s failed", request.method, request.path)
        return problem(
            500, "internal-error", "The daemon failed to answer.", hint="Its log says why: `edgeloop status`."
        )
