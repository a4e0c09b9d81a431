"""What a phone announces by mDNS (RFC 6762, RFC 6763), and how only the computers that it is paired with recognise it.

The service is `_edgeloop._udp`; its instance and host names are random, the SRV port is where the phone takes knocks
(`edgeloop_shared.knocks`). The TXT record holds `v`, the version; `s`, a random salt of 16 bytes; `t`, a tag of 6 bytes per
pairing. Random tags fill it up, so that their number says nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from edgeloop_shared.errors import MessageError
from edgeloop_shared.proofs import keyed_hash

SERVICE = "_edgeloop._udp.local."
VERSION = 1
SALT_BYTES = 16
TAG_BYTES = 6
MAX_TAGS = 40  # what one string of a TXT record holds
MAX_TXT_BYTES = 1024
NAME_CHARACTERS = 16
_ROUND_TAGS_TO = 8


@dataclass(frozen=True)
class Announcement:
    """What a TXT record holds: the salt of this announcement, and tags that are meaningless without a device's key."""

    salt: bytes
    tags: tuple[bytes, ...]

    def txt(self) -> bytes:
        """Return the TXT record."""
        strings = (b"v=%d" % VERSION, b"s=" + self.salt, b"t=" + b"".join(self.tags))
        return b"".join(bytes([len(string)]) + string for string in strings)

    def is_of(self, device_key: bytes) -> bool:
        """Return whether the phone with this key announces itself."""
        return device_tag(device_key, self.salt) in self.tags


def new_announcement(device_keys: Sequence[bytes]) -> Announcement:
    """Return a fresh announcement that can be linked with no earlier one. Of more than 40 keys the last 40 are used."""
    salt = secrets.token_bytes(SALT_BYTES)
    tags = [device_tag(key, salt) for key in device_keys[-MAX_TAGS:]]
    filling = min(MAX_TAGS, max(1, -(-len(tags) // _ROUND_TAGS_TO)) * _ROUND_TAGS_TO) - len(tags)
    tags += [secrets.token_bytes(TAG_BYTES) for _ in range(filling)]
    return Announcement(salt, tuple(sorted(tags)))  # their order says nothing either


def new_name() -> str:
    """Return a fresh instance name."""
    return secrets.token_hex(NAME_CHARACTERS // 2)


def device_tag(device_key: bytes, salt: bytes) -> bytes:
    """Return the tag by which who knows the key recognises an announcement."""
    return keyed_hash(device_key, b"mdns", salt)[:TAG_BYTES]


def read_txt(txt: bytes) -> Announcement:
    """Return what the TXT record of anybody's service announces. Keys of later versions are ignored. Raises `MessageError`."""
    if len(txt) > MAX_TXT_BYTES:
        raise MessageError(f"A TXT record of {len(txt)} bytes is too long.")
    values: dict[bytes, bytes] = {}
    at = 0
    while at < len(txt):
        string = txt[at + 1 : at + 1 + txt[at]]
        if len(string) != txt[at]:
            raise MessageError("A TXT record ends within a string.")
        key, _, value = string.partition(b"=")
        values.setdefault(key.lower(), value)  # the first one counts
        at += 1 + len(string)
    salt, tags = values.get(b"s", b""), values.get(b"t", b"")
    if values.get(b"v") != b"%d" % VERSION:
        raise MessageError("A phone announces itself in a version that this edgeloop does not know.")
    if len(salt) != SALT_BYTES or len(tags) % TAG_BYTES:
        raise MessageError("A phone's announcement has no salt, or half a tag.")
    return Announcement(salt, tuple(tags[start : start + TAG_BYTES] for start in range(0, len(tags), TAG_BYTES)))
