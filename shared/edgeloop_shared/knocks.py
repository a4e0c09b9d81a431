"""Knocks: one UDP datagram by which a computer asks a phone that it has seen nearby to dial it now.

30 bytes: `EDK1`, the device port (u16), a counter (u64), both big-endian, and 16 bytes of
`HMAC(device_key, "knock", salt, port, counter)`. The salt is that of the phone's announcement, so a knock is void with the next
one; the counter grows with every knock, so a knock works once.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from edgeloop_shared.errors import MessageError
from edgeloop_shared.proofs import keyed_hash, matches

_MAGIC = b"EDK1"
_PROOF_BYTES = 16
_LAYOUT = struct.Struct(f">4sHQ{_PROOF_BYTES}s")
KNOCK_BYTES = _LAYOUT.size
MAX_COUNTER = 2**64 - 1


@dataclass(frozen=True)
class Knock:
    """A knock that came: where the computer listens, and its proof, which nobody has verified yet."""

    port: int
    counter: int
    proof: bytes

    def is_of(self, device_key: bytes, salt: bytes) -> bool:
        """Return whether who knocked knows the key and means the announcement with this salt. In constant time."""
        return matches(self.proof, _proof(device_key, salt, self.port, self.counter))


def pack_knock(device_key: bytes, salt: bytes, port: int, counter: int) -> bytes:
    """Return the datagram that asks a phone to dial `port` of its sender."""
    return _LAYOUT.pack(_MAGIC, port, counter, _proof(device_key, salt, port, counter))


def unpack_knock(datagram: bytes) -> Knock:
    """Return the knock in a datagram from anybody. Raises `MessageError`."""
    if len(datagram) != KNOCK_BYTES:
        raise MessageError(f"A knock has {KNOCK_BYTES} bytes, not {len(datagram)}.")
    magic, port, counter, proof = _LAYOUT.unpack(datagram)
    if magic != _MAGIC or port == 0:
        raise MessageError("A datagram is no knock of this version.")
    return Knock(port, counter, proof)


def _proof(device_key: bytes, salt: bytes, port: int, counter: int) -> bytes:
    return keyed_hash(device_key, b"knock", salt, port.to_bytes(2, "big"), counter.to_bytes(8, "big"))[:_PROOF_BYTES]
