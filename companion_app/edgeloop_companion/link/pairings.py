"""The pairings that the device keeps, in one private file; and those that it has given up without its computer knowing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgeloop_companion.link.pairing import Pairing
from edgeloop_companion.runtime.storage import write_private
from edgeloop_shared.codec import decode_json, encode_json
from edgeloop_shared.errors import MessageError, SettingsError

MAX_FILE_BYTES = 1024 * 1024
MAX_UNTOLD = 32
UNTOLD_SECONDS = 30 * 86400.0
"""For so long a computer is told that it was forgotten, if it is reached; then its key goes too."""


@dataclass(frozen=True)
class Untold:
    """A pairing that was given up at `since` (seconds since the UNIX epoch), of which its computer has not heard."""

    pairing: Pairing
    since: float


@dataclass(frozen=True)
class _File:
    version: int
    pairings: tuple[Pairing, ...] = field(metadata={"max_length": 256})
    untold: tuple[Untold, ...] = field(default=(), metadata={"max_length": MAX_UNTOLD})


class Pairings:
    """All daemons that may run code here, one pairing per daemon (known by its certificate).

    Raises `SettingsError` when the file at `path` cannot be read as one of ours. What changes them raises `OSError` when it cannot
    be stored, and has changed nothing then.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writing = threading.Lock()
        self._pairings: dict[str, Pairing] = {}
        self._untold: tuple[Untold, ...] = ()
        if path.exists():
            try:
                stored = decode_json(_File, path.read_bytes(), max_bytes=MAX_FILE_BYTES)
            except MessageError as error:
                raise SettingsError(
                    f"The pairings in {path} cannot be read: {error.message}",
                    hint="Move the file away and pair again with `edgeloop pair`.",
                ) from None
            self._pairings = {pairing.fingerprint: pairing for pairing in stored.pairings}
            self._untold = stored.untold

    def __iter__(self) -> Iterator[Pairing]:
        return iter(tuple(self._pairings.values()))

    def __len__(self) -> int:
        return len(self._pairings)

    @property
    def untold(self) -> tuple[Pairing, ...]:
        """What was given up and whose computer is to be told so, the oldest first."""
        return tuple(one.pairing for one in self._untold)

    def add(self, pairing: Pairing) -> None:
        """Keep `pairing`; an earlier one with the same daemon is given up for it, unless it is the same one."""
        with self._writing:
            earlier = self._pairings.get(pairing.fingerprint)
            untold = self._untold
            if earlier is not None and earlier.device_id != pairing.device_id:
                untold = _and(untold, earlier)
            self._save({**self._pairings, pairing.fingerprint: pairing}, untold)

    def update(self, pairing: Pairing) -> None:
        """Keep what has changed of `pairing` (nothing happens when it was forgotten, or a newer one took its place)."""
        with self._writing:
            if self._is_kept(pairing):
                self._save({**self._pairings, pairing.fingerprint: pairing}, self._untold)

    def remove(self, pairing: Pairing) -> None:
        """Forget `pairing`, which its computer knows (nothing happens when a newer one with the same daemon took its place)."""
        with self._writing:
            if self._is_kept(pairing):
                self._save(self._without(pairing), self._untold)

    def give_up(self, pairing: Pairing) -> None:
        """Forget `pairing` as a pairing; its computer is to be told (nothing happens when a newer one took its place)."""
        with self._writing:
            if self._is_kept(pairing):
                self._save(self._without(pairing), _and(self._untold, pairing))

    def told(self, *pairings: Pairing) -> None:
        """Forget pairings that were given up: their computers know; and what is too old to be told."""
        known, since = {pairing.device_id for pairing in pairings}, time.time() - UNTOLD_SECONDS
        with self._writing:
            untold = tuple(one for one in self._untold if one.pairing.device_id not in known and one.since > since)
            if untold != self._untold:
                self._save(self._pairings, untold)

    def _is_kept(self, pairing: Pairing) -> bool:
        known = self._pairings.get(pairing.fingerprint)
        return known is not None and known.device_id == pairing.device_id

    def _without(self, pairing: Pairing) -> dict[str, Pairing]:
        return {key: kept for key, kept in self._pairings.items() if key != pairing.fingerprint}

    def _save(self, pairings: Mapping[str, Pairing], untold: Sequence[Untold]) -> None:
        untold = tuple(untold)[-MAX_UNTOLD:]
        if pairings or untold:
            write_private(self._path, encode_json(_File(1, tuple(pairings.values()), untold)))
        else:  # an unpaired device looks like one that never was paired
            self._path.unlink(missing_ok=True)
        self._pairings, self._untold = dict(pairings), untold


def _and(untold: tuple[Untold, ...], pairing: Pairing) -> tuple[Untold, ...]:
    return (*untold, Untold(pairing, time.time()))
