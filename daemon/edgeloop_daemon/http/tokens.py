"""Bearer tokens of the local API: kept as hashes, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import secrets


class Tokens:
    """The tokens that this daemon accepts."""

    def __init__(self) -> None:
        self._hashes: dict[str, bytes] = {}

    def issue(self, name: str) -> str:
        """Make a token called `name` (a later one of the same name replaces it) and return its only clear text."""
        token = secrets.token_urlsafe(32)
        self._hashes[name] = _hash(token)
        return token

    def revoke(self, name: str) -> None:
        """Forget the token called `name`."""
        self._hashes.pop(name, None)

    def name_of(self, token: str) -> str | None:
        """Return the name of a token that is accepted, else None. Every known token is compared, whatever matches."""
        given = _hash(token)
        found = None
        for name, known in self._hashes.items():
            if hmac.compare_digest(given, known):
                found = name
        return found


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
