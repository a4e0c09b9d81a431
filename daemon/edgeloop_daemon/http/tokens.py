"""Bearer tokens of the local API: kept as hashes only."""

from __future__ import annotations

import hashlib
import secrets
import time

from edgeloop_daemon.jobs.job_doors import Scope


class Tokens:
    """The tokens that this daemon accepts, by the SHA-256 of each.

    Looking a hash up takes a time that tells nothing of the tokens: nobody can choose what a hash begins with.
    """

    def __init__(self) -> None:
        self._names: dict[bytes, str] = {}
        self._scopes: dict[str, Scope] = {}
        self.last_used: dict[str, float] = {}
        """When each token was used last by this daemon, in seconds since the UNIX epoch."""

    def issue(self, name: str, scope: Scope | None = None) -> str:
        """Make a token called `name` (a later one of the same name replaces it) and return its only clear text.

        With a `scope` it opens only what that says.
        """
        token = secrets.token_urlsafe(32)
        self.accept(name, token_hash(token))
        if scope is not None:
            self._scopes[name] = scope
        return token

    def accept(self, name: str, hashed: bytes) -> None:
        """Accept the token whose hash this is from now on, and no other one called `name`."""
        self.revoke(name)
        self._names[hashed] = name

    def revoke(self, name: str) -> None:
        """Forget the token called `name`."""
        self._names = {hashed: known for hashed, known in self._names.items() if known != name}
        self.last_used.pop(name, None)
        self._scopes.pop(name, None)

    def allows(self, name: str, method: str, path: str) -> bool:
        """Return whether the token called `name` is for such a request; `path` is below the API's prefix."""
        scope = self._scopes.get(name)
        return scope is None or scope(method, path)

    def name_of(self, token: str) -> str | None:
        """Return the name of a token that is accepted, else None."""
        name = self._names.get(token_hash(token))
        if name is not None:
            self.last_used[name] = time.time()
        return name


def token_hash(token: str) -> bytes:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
