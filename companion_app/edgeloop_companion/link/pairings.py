"""The pairings that the device keeps, in one private file."""

from __future__ import annotations

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

    Raises `SettingsError` when the file at `path` cannot be read as one of ours.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
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
        self._pairings[pairing.fingerprint] = pairing
        self._save()

    def replace(self, known: Pairing, pairing: Pairing) -> None:
        """Keep `pairing` in the place of `known` (nothing happens when that one was forgotten or replaced meanwhile)."""
        if self._pairings.get(known.fingerprint) == known:
            self.add(pairing)

    def remove(self, pairing: Pairing) -> None:
        """Forget `pairing` (nothing happens when a newer one with the same daemon took its place)."""
        if self._pairings.get(pairing.fingerprint) == pairing:
            del self._pairings[pairing.fingerprint]
            self._save()

    def _save(self) -> None:
        if not self._pairings:  # an unpaired device looks like one that never was paired
            self._path.unlink(missing_ok=True)
            return
        write_private(self._path, encode_json(_File(1, tuple(self._pairings.values()))))
