"""Routes on named tokens."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeloop_daemon.http.named_tokens import NamedToken, NamedTokens, NewToken
from edgeloop_daemon.http.paging import ListQuery, page_of
from edgeloop_daemon.http.routes import Call, Route
from edgeloop_shared.errors import ConflictError

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


@dataclass(frozen=True)
class CreateToken:
    """What the token is called: the program that it is for, say."""

    name: str = field(metadata={"min_length": 1, "max_length": 64, "pattern": NAME_PATTERN})


@dataclass(frozen=True)
class TokenList:
    """Named tokens, the oldest first."""

    items: tuple[NamedToken, ...]
    next: str | None


def token_routes(named: NamedTokens) -> tuple[Route, ...]:
    """Return the routes."""

    async def list_tokens(call: Call) -> TokenList:
        return TokenList(*page_of(named.list(), call.query, lambda one: (one.created_at, one.name)))

    async def create_token(call: Call) -> NewToken:
        return await named.create(call.body.name)

    async def revoke_token(call: Call) -> None:
        await named.revoke(call.path["token"])

    tag = "tokens"
    return (
        Route("GET", "/tokens", "list_tokens", "List named tokens.", list_tokens, TokenList, query=ListQuery, tag=tag),
        Route(
            *("POST", "/tokens", "create_token", "Make a named token.", create_token),
            result=NewToken,
            body=CreateToken,
            status=201,
            tag=tag,
            errors=(ConflictError,),
        ),
        Route(
            *("DELETE", "/tokens/{token}", "revoke_token", "Revoke a named token; its streams end.", revoke_token),
            tag=tag,
        ),
    )
