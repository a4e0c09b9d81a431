"""Tokens that users make for their own programs: named, kept over restarts as hashes, revoked for good."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from edgeloop_daemon.events.event_log import record_event
from edgeloop_daemon.events.kinds import TokenCreated, TokenRevoked
from edgeloop_daemon.http.streams import Streams
from edgeloop_daemon.http.tokens import Tokens, token_hash
from edgeloop_daemon.store.database import Database
from edgeloop_daemon.store.tables import Tables
from edgeloop_shared.errors import ConflictError, NotFoundError

MAX_TOKENS = 100
_PREFIX = "elp_"  # so that scanners for leaked secrets can know one
_FLUSH_SECONDS = 60.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NamedToken:
    """A token, without its text. Times are seconds since the UNIX epoch; `last_used` may lag a minute behind a crash."""

    name: str
    created_at: float
    last_used: float | None


@dataclass(frozen=True)
class NewToken:
    """A token that was just made: `token` is its text, which nobody can ask for again."""

    name: str
    created_at: float
    token: str = field(repr=False)


class NamedTokens:
    """The tokens of this user's programs. Each may do whatever the API can do."""

    def __init__(self, database: Database, tokens: Tokens, streams: Streams) -> None:
        self._database = database
        self._tokens = tokens
        self._streams = streams
        self._known: dict[str, NamedToken] = {}

    def list(self) -> tuple[NamedToken, ...]:
        """Return all tokens, the oldest first."""
        used = self._tokens.last_used
        return tuple(
            NamedToken(one.name, one.created_at, used.get(one.name, one.last_used)) for one in self._known.values()
        )

    async def create(self, name: str) -> NewToken:
        """Make a token. Raises `ConflictError` when the name is taken, or when there are too many."""
        if name in self._known:
            raise ConflictError(f"There is a token {name!r} already.", hint=f"`edgeloop token revoke {name}` ends it.")
        if len(self._known) >= MAX_TOKENS:
            raise ConflictError(f"There are {MAX_TOKENS} tokens.", hint="Revoke one that nobody needs any more.")
        new = NewToken(name, time.time(), _PREFIX + secrets.token_urlsafe(32))
        self._known[name] = NamedToken(name, new.created_at, None)
        hashed = token_hash(new.token)

        def insert(db: Tables) -> None:
            db.execute("insert into tokens (name, hash, created_at) values (?, ?, ?)", [name, hashed, new.created_at])
            record_event(db, TokenCreated(name))

        try:
            await self._database.write(insert)
        except BaseException:
            del self._known[name]
            raise
        self._tokens.accept(name, hashed)
        return new

    async def revoke(self, name: str) -> None:
        """End a token and the streams that it has opened.

        Raises `NotFoundError`, and `StorageError` when that cannot be stored: the token opens the API still, then.
        """
        if name not in self._known:
            raise NotFoundError(f"There is no token {name[:64]!r}.", hint="`edgeloop token list` shows them.")

        def delete(db: Tables) -> None:
            if db.execute("delete from tokens where name = ?", [name]).rowcount:  # else two have asked at once
                record_event(db, TokenRevoked(name))

        await self._database.write(delete)
        self._known.pop(name, None)
        self._tokens.revoke(name)
        self._streams.end_those_of(name)

    async def _load(self) -> None:
        sql = "select name, hash, created_at, last_used from tokens order by created_at, name"
        for name, hashed, created_at, last_used in await self._database.read(lambda db: db.execute(sql).fetchall()):
            self._known[name] = NamedToken(name, created_at, last_used)
            self._tokens.accept(name, hashed)

    async def _flush(self) -> None:
        """Write down when tokens were used: not with every request, which would cost each of them a write."""
        used = {one.name: one.last_used for one in self.list()}
        changed = [(at, name) for name, at in used.items() if at != self._known[name].last_used]
        if changed:
            sql = "update tokens set last_used = ? where name = ?"
            await self._database.write(lambda db: db.executemany(sql, changed))
            self._known = {one.name: one for one in self.list()}

    async def _flush_regularly(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            try:
                await self._flush()
            except Exception:
                _log.exception("When tokens were used could not be written down; it is tried again")


@asynccontextmanager
async def open_named_tokens(database: Database, tokens: Tokens, streams: Streams) -> AsyncIterator[NamedTokens]:
    """Accept the named tokens among `tokens`, for the block."""
    named = NamedTokens(database, tokens, streams)
    await named._load()
    flushing = asyncio.create_task(named._flush_regularly(), name="flush tokens")
    try:
        yield named
    finally:
        flushing.cancel()
        await asyncio.gather(flushing, return_exceptions=True)
        await named._flush()
