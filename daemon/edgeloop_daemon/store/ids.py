"""Identifiers: short enough to read aloud, random enough never to meet again."""

from __future__ import annotations

import secrets

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_CHARACTERS = 10  # 50 bits


def new_id(kind: str) -> str:
    """Return a fresh id that begins with the letter `kind` (`j` for jobs, `r` for runs, `d` for devices, `w` for workspaces)."""
    return kind + "".join(secrets.choice(_ALPHABET) for _ in range(_CHARACTERS))
