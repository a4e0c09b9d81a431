"""The pairings that the device keeps, in one private file."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edgeloop_companion.link.pairing import Pairing
from edgeloop_companion.runtime.storage import write_private
from edgeloop_shared.codec import decode_json, encode_json
from edgeloop_shared.errors import MessageError, SettingsError

MAX_FILE_BYTES = 1024 * 1024


@dataclass(frozen=True)
class _File:
    version: int
    pairings: tuple[Pairing, ...] = field(metadata={"max_length": 256})


class Pairings:
    """All daemons that may run code here, one pairing per daemon (known by its certificate).

    Raises `SettingsError` when the file at `path` cannot be read as one of ours. What changes them raises `OSError` when it cannot
    be stored, and has changed nothing then.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writing = threading.Lock()
        self._pairings: dict[str, Pairing] = {}
        if path.exists():
            try:
                stored = decode_json(_File, path.read_bytes(), max_bytes=MAX_FILE_BYTES)
            except MessageError as error:
                raise SettingsError(
                    f"The pairings in {path} cannot be read: {error.message}",
                    hint="Move the file away and pair again with `edgeloop pair`.",
                ) from None
            self._pairings = {pairing.fingerprint: pairing for pairing in stored.pairings}

    def __iter__(self) -> Iterator[Pairing]:
        return iter(tuple(self._pairings.values()))

    def __len__(self) -> int:
        return len(self._pairings)

    def add(self, pairing: Pairing) -> None:
        """Keep `pairing`; an earlier one with the same daemon is replaced."""
        with self._writing:
            self._save({**self._pairings, pairing.fingerprint: pairing})

    def update(self, pairing: Pairing) -> None:
        """Keep what has changed of `pairing` (nothing happens when it was forgotten, or a newer one took its place)."""
        with self._writing:
            if self._is_kept(pairing):
                self._save({**self._pairings, pairing.fingerprint: pairing})

    def remove(self, pairing: Pairing) -> None:
        """Forget `pairing` (nothing happens when a newer one with the same daemon took its place)."""
        with self._writing:
            if self._is_kept(pairing):
                self._save({key: kept for key, kept in self._pairings.items() if key != pairing.fingerprint})

    def _is_kept(self, pairing: Pairing) -> bool:
        known = self._pairings.get(pairing.fingerprint)
        return known is not None and known.device_id == pairing.device_id

    def _save(self, pairings: dict[str, Pairing]) -> None:
        if pairings:
            write_private(self._path, encode_json(_File(1, tuple(pairings.values()))))
        else:  # an unpaired device looks like one that never was paired
            self._path.unlink(missing_ok=True)
        self._pairings = pairings
