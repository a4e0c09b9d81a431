"""The file in which the app remembers computers that have unpaired this device, until its user has dismissed them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from edgeloop_companion.link.pairing import Pairing
from edgeloop_companion.runtime.storage import write_private
from edgeloop_companion.store import memory_file
from edgeloop_shared.addresses import show_address
from edgeloop_shared.codec import decode_json, encode_json
from edgeloop_shared.messages import HEX_NONCE, ID_PATTERN
from edgeloop_shared.models import NAME_PATTERN

MAX_COMPUTERS = 32
MAX_BYTES = 64 * 1024


@dataclass(frozen=True)
class RevokedComputer:
    """What is shown of one; its key is gone. `fingerprint` tells whether it is paired again."""

    device_id: str = field(metadata={"pattern": ID_PATTERN})
    name: str = field(metadata={"min_length": 1, "max_length": 64, "pattern": NAME_PATTERN})
    fingerprint: str = field(metadata=HEX_NONCE)
    address: str = field(metadata={"max_length": 300})
    last_seen: float | None


@dataclass(frozen=True)
class _File:
    version: int = field(metadata={"ge": 1, "le": 1})
    computers: tuple[RevokedComputer, ...] = field(metadata={"max_length": MAX_COMPUTERS})


def revoked(pairing: Pairing) -> RevokedComputer:
    """Return what is shown of the computer of `pairing`, which is none any more."""
    address = show_address(pairing.addresses[0], pairing.port)
    return RevokedComputer(pairing.device_id, pairing.host_name, pairing.fingerprint, address, pairing.last_seen)


def read_revoked(data: bytes) -> tuple[RevokedComputer, ...]:
    """Return the computers in the content of the file. Raises `MessageError` for what no app has written."""
    return decode_json(_File, data, max_bytes=MAX_BYTES).computers


def load_revoked(path: Path) -> tuple[RevokedComputer, ...]:
    """Return the computers in the file at `path`; none where it is missing or damaged: they are only a memory. Blocks."""
    return memory_file.load(path, read_revoked, MAX_BYTES)


def save_revoked(path: Path, computers: Iterable[RevokedComputer]) -> None:
    """Write the newest of them, which come last; without any there is no file. Blocks; raises `OSError`."""
    kept = tuple(computers)[-MAX_COMPUTERS:]
    if kept:
        write_private(path, encode_json(_File(1, kept)))
    else:
        path.unlink(missing_ok=True)
