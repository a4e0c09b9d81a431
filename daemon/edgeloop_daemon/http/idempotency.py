"""Requests that start work are done once, however often they arrive with the same `Idempotency-Key`.

The key is stored in the transaction that adds the job or the run, so no crash can come between the two.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from edgeloop_daemon.http.routes import Accepted
from edgeloop_daemon.store.database import Database
from edgeloop_daemon.store.tables import Tables
from edgeloop_shared.errors import InvalidInputError, KeyReusedError

HEADER = "Idempotency-Key"
KEEP_SECONDS = 24 * 3600.0
_KEY = re.compile(r"[\x21-\x7e]{1,255}")

FindWork = Callable[[str], Awaitable[Any]]
"""Returns the job or run at a location such as `/jobs/j123`. Raises `NotFoundError`."""


class Attempt:
    """One request with a key, while nobody else works with that key."""

    def __init__(self, key: str, request_hash: bytes, known: Accepted | None) -> None:
        self._key = key
        self._request_hash = request_hash
        self.known = known
        """The answer, when the work has begun already."""

    def remember(self, db: Tables, location: str) -> None:
        """Note what the key has started. In the writer's transaction that starts it."""
        now = time.time()
        db.execute("delete from idempotency_keys where created_at < ? or key = ?", [now - KEEP_SECONDS, self._key])
        db.execute(
            "insert into idempotency_keys (key, request_hash, location, created_at) values (?, ?, ?, ?)",
            [self._key, self._request_hash, location, now],
        )


class IdempotencyKeys:
    """The keys of the last 24 hours."""

    def __init__(self, database: Database, find: FindWork) -> None:
        self._database = database
        self._find = find
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def attempt(self, token: str, key: str, path: str, body: bytes) -> AsyncIterator[Attempt]:
        """Hold a key of the token called `token` for the block: a second request with it waits for the first one's answer.

        Raises `InvalidInputError` for a key that is none, and `KeyReusedError` when it came with another request.
        """
        if not _KEY.fullmatch(key):
            raise InvalidInputError(f"The header {HEADER} must be 1 to 255 visible ASCII characters.")
        scoped = f"{token} {key}"
        request_hash = hashlib.sha256(path.encode() + b"\0" + body).digest()
        async with self._alone(scoped):
            yield Attempt(scoped, request_hash, await self._known(scoped, request_hash, key))

    async def _known(self, scoped: str, request_hash: bytes, key: str) -> Accepted | None:
        sql = "select request_hash, location from idempotency_keys where key = ? and created_at >= ?"
        values = [scoped, time.time() - KEEP_SECONDS]
        row = await self._database.read(lambda db: db.execute(sql, values).fetchone())
        if row is None:
            return None
        if row[0] != request_hash:
            raise KeyReusedError(
                f"The {HEADER} {key[:64]!r} came with another request before.", hint="Send a new key with new work."
            )
        return Accepted(row[1], await self._find(row[1]))

    @asynccontextmanager
    async def _alone(self, key: str) -> AsyncIterator[None]:
        lock, users = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = lock, users + 1
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks.pop(key)
            if users > 1:
                self._locks[key] = lock, users - 1
