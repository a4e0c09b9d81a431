"""Files by the SHA-256 of their content: what goes to devices and what comes back."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from edgeloop_shared.errors import NotFoundError, TransferError

_PIECE = 1024 * 1024


class Digest(Protocol):
    """A SHA-256 in the making."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Go on with these bytes."""

    def hexdigest(self) -> str:
        """Return the hash of all bytes so far."""


class BlobStore:
    """A folder of immutable files, two levels deep. Methods do file work: call them in a thread for anything large."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, sha256: str) -> Path:
        """Return where the blob is or would be. `sha256` must be 64 lower-case hex digits."""
        return self._folder / sha256[:2] / sha256[2:]

    def has(self, sha256: str) -> bool:
        """Return whether the blob is here, whole."""
        return self.path(sha256).is_file()

    def hold(self, sha256: str, size: int) -> bool:
        """Return whether the blob is here with this size; if so it is wanted again, and is not pruned soon.

        It is not when the power failed before its bytes were on the disk: the file is empty then, or ends too early.
        """
        path = self.path(sha256)
        try:
            if path.stat().st_size != size:
                return False
            os.utime(path)
        except FileNotFoundError:
            return False
        return True

    def sizes(self) -> Iterator[tuple[str, int]]:
        """Yield the SHA-256 and the size in bytes of every blob."""
        for path in self._folder.glob("[0-9a-f][0-9a-f]/*"):
            try:
                yield path.parent.name + path.name, path.stat().st_size
            except FileNotFoundError:
                continue

    def leftovers(self) -> Iterator[Path]:
        """Yield the files in which bytes were, or are, collected."""
        yield from (self._folder / "partial").glob("*")

    def partial(self, sha256: str, sender: str = "") -> Path:
        """Return where the blob's bytes are collected while they arrive from `sender`, whom nobody else can disturb."""
        folder = self._folder / "partial"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder / (f"{sender}-{sha256}" if sender else sha256)

    def add_bytes(self, content: bytes) -> str:
        """Store `content`; return its SHA-256 in hex."""
        sha256 = hashlib.sha256(content).hexdigest()
        if not self.hold(sha256, len(content)):
            temporary = self._temporary()
            try:
                temporary.write_bytes(content)
                self._settle(temporary, sha256)
            finally:
                temporary.unlink(missing_ok=True)
        return sha256

    def add_file(self, source: Path) -> tuple[str, int]:
        """Copy the file at `source` into the store; return its SHA-256 in hex and its size in bytes.

        The file is hashed while it is copied, so that what is stored is what was hashed even if it changes meanwhile.
        """
        digest = hashlib.sha256()
        size = 0
        temporary = self._temporary()
        try:
            with source.open("rb") as reader, temporary.open("wb") as writer:
                while piece := reader.read(_PIECE):
                    digest.update(piece)
                    writer.write(piece)
                    size += len(piece)
            sha256 = digest.hexdigest()
            if not self.hold(sha256, size):
                self._settle(temporary, sha256)
        finally:
            temporary.unlink(missing_ok=True)
        return sha256, size

    def complete(self, sha256: str, sender: str = "", digest: Digest | None = None) -> None:
        """Turn the partial file of `sha256` from `sender` into the blob; without the `digest` of its bytes it is read for that.

        Raises `TransferError` (and drops the bytes) if the hash differs.
        """
        partial = self.partial(sha256, sender)
        if digest is None:
            with partial.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256")
        found = digest.hexdigest()
        if found != sha256:
            partial.unlink()
            raise TransferError(
                f"The bytes that arrived for {sha256[:12]} have the hash {found[:12]}.",
                hint="The transfer starts again; if this repeats, the file changes on the other side while it is sent.",
            )
        self._settle(partial, sha256)

    def open_path(self, sha256: str) -> Path:
        """Return the path of a blob that is here. Raises `NotFoundError`."""
        if not self.has(sha256):
            raise NotFoundError(f"The blob {sha256[:12]} is not on this computer.")
        return self.path(sha256)

    def _temporary(self) -> Path:
        return self.partial(f"tmp-{secrets.token_hex(8)}")

    def _settle(self, source: Path, sha256: str) -> None:
        target = self.path(sha256)
        target.parent.mkdir(mode=0o700, exist_ok=True)
        os.utime(source)
        source.chmod(0o400)
        source.replace(target)
