"""What the companion keeps on disk: one private folder with its pairings, blobs by content, and a folder per daemon."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from edgeloop_shared.errors import InvalidInputError, TransferError

CHUNK_BYTES = 1024 * 1024
MAX_STORE_BYTES = 4 * 1024**3
PARTIAL_SECONDS = 24 * 3600.0


class StateFolder:
    """The state folder: readable by its owner only, because pairing keys and users' models lie in it.

    Raises `InvalidInputError` when it belongs to another user.
    """

    def __init__(self, path: Path) -> None:
        self.path = path = path.resolve()  # tracebacks name files by their real paths
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (owner := path.stat().st_uid) != os.geteuid():  # who could change what is in it
            raise InvalidInputError(
                f"The state folder {path} belongs to another user (uid {owner}).",
                hint="Choose a folder of your own with --state.",
            )
        path.chmod(0o700)
        self.blobs = BlobStore(path / "blobs")

    @property
    def lock(self) -> Path:
        """The file whose lock says that a companion uses this folder."""
        return self.path / "lock"

    @property
    def outputs(self) -> tuple[Path, ...]:
        """Where a virtual device's standard output and standard error go: they are kept short."""
        return self.path / "events.jsonl", self.path / "companion.log"

    @property
    def pairings(self) -> Path:
        """The file of the pairings."""
        return self.path / "pairings.json"

    @property
    def settings(self) -> Path:
        """The file of what the user of the screens has chosen."""
        return self.path / "settings.json"

    @property
    def control(self) -> Path:
        """The socket at which the companion that uses this folder is controlled."""
        return self.path / "control"

    @property
    def tasks(self) -> Path:
        """The file of the tasks that the screens remember."""
        return self.path / "tasks.json"

    @property
    def revoked(self) -> Path:
        """The file of the computers that have unpaired this device, which the screens show until they are dismissed."""
        return self.path / "revoked.json"

    def host(self, device_id: str) -> Path:
        """Return the folder for what concerns one daemon: the one that knows this device as `device_id`."""
        return self.path / "hosts" / device_id

    def strange_hosts(self, keep: Iterable[str]) -> tuple[Path, ...]:
        """Return the folders of daemons that this device is no longer paired with."""
        kept = set(keep)
        folder = self.path / "hosts"
        return tuple(path for path in folder.iterdir() if path.name not in kept) if folder.is_dir() else ()


class BlobStore:
    """Files by the SHA-256 of their content; each appears under its name only when whole and checked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._partial = folder / "partial"
        self._clearing = threading.Lock()
        """What is found to be here is not removed in the same moment."""
        self._partial.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        """Return where the blob lies or would lie."""
        return self._folder / sha256

    def partial(self, sha256: str, sender: str) -> Path:
        """Return where the blob's bytes from one daemon gather until they are whole: two may send the same blob at once."""
        return self._partial / f"{sender}-{sha256}"

    def has(self, sha256: str, size: int) -> bool:
        """Return whether the blob is here with this size; if so it is wanted, and `prune` keeps it for longer."""
        path = self.path(sha256)
        with self._clearing:
            try:
                if path.stat().st_size != size:
                    return False
                os.utime(path)
            except FileNotFoundError:
                return False
        return True

    def partial_bytes(self, sha256: str) -> int:
        """Return how much of a blob that is not here has come already, at most from one daemon."""
        return max((path.stat().st_size for path in self._partial.glob(f"*-{sha256}")), default=0)

    def free_bytes(self) -> int:
        """Return how many bytes may still be written."""
        return shutil.disk_usage(self._folder).free

    def missing(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """Return those of the blobs (their sizes by SHA-256) that are not here."""
        return {sha256: size for sha256, size in sizes.items() if not self.has(sha256, size)}

    def adopt(self, file: Path, sha256: str) -> None:
        """Move a checked file of the same file system into the store."""
        file.chmod(0o400)
        file.replace(self.path(sha256))

    def prune(self, max_bytes: int = MAX_STORE_BYTES) -> None:
        """Remove the blobs that were not used for longest, until the others fit into `max_bytes`.

        Parts of blobs that nobody has gone on with for `PARTIAL_SECONDS` go as well.
        """
        for path in self._partial.iterdir():
            with contextlib.suppress(FileNotFoundError):  # it has become whole just now
                if path.stat().st_mtime < time.time() - PARTIAL_SECONDS:
                    path.unlink()
        blobs = [(path, path.stat()) for path in self._folder.iterdir() if path.is_file()]
        total = sum(status.st_size for _, status in blobs)
        for path, status in sorted(blobs, key=lambda blob: blob[1].st_mtime_ns):
            if total <= max_bytes:
                break
            path.unlink()
            total -= status.st_size

    def used_bytes(self) -> int:
        """Return how many bytes lie here, parts of blobs among them. Blocks."""
        return sum(size for _, size in self._files())

    def clear(self, since: float) -> int:
        """Remove what was wanted last before `since`, seconds of the epoch; return how many bytes that was. Blocks."""
        freed = 0
        for path, size in self._files():
            with self._clearing, contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < since:
                    path.unlink()
                    freed += size
        return freed

    def _files(self) -> Iterator[tuple[Path, int]]:
        """All blobs and parts of blobs, with their sizes in bytes."""
        for path in (*self._folder.iterdir(), *self._partial.iterdir()):
            with contextlib.suppress(FileNotFoundError):  # it has become whole just now
                if path.is_file():
                    yield path, path.stat().st_size

    def take(self, file: Path) -> tuple[str, int]:
        """Copy `file` into the store; return its SHA-256 and size in bytes. Raises `OSError` when it cannot be read."""
        if not file.is_file():  # opening a pipe would wait for ever
            raise FileNotFoundError(errno.ENOENT, "it is no file", str(file))
        descriptor, name = tempfile.mkstemp(dir=self._partial)
        target = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as sink, file.open("rb") as source:
                digest = hashlib.sha256()
                while chunk := source.read(CHUNK_BYTES):
                    digest.update(chunk)
                    sink.write(chunk)
                size = sink.tell()
            self.adopt(target, digest.hexdigest())
        finally:
            target.unlink(missing_ok=True)
        return digest.hexdigest(), size

    def copy_to(self, sha256: str, target: Path, mode: int) -> None:
        """Lay a copy of the blob down at `target`: a task may change its files, the store must not change with them."""
        shutil.copyfile(self.path(sha256), target)
        target.chmod(mode)


class PartialBlob:
    """A blob while its bytes arrive; bytes of an earlier attempt count. For one user at a time, in a worker thread."""

    def __init__(self, store: BlobStore, sha256: str, size: int, sender: str) -> None:
        self._store = store
        self._sha256 = sha256
        self._size = size
        self._path = store.partial(sha256, sender)
        self._digest = hashlib.sha256()
        self._file = self._path.open("ab")
        self.received = self._file.tell()
        if self.received > size:
            self.restart()
        self.resumed = self.received > 0
        for chunk in _chunks(self._path):
            self._digest.update(chunk)

    def write(self, data: bytes | memoryview) -> None:
        """Append `data`. Raises `TransferError` for more bytes than announced and when the disk takes no more."""
        if self.received + len(data) > self._size:
            raise TransferError(f"Blob {self._sha256[:12]} has more than the announced {self._size} bytes.")
        try:
            self._file.write(data)
        except OSError as error:
            raise TransferError(
                f"Blob {self._sha256[:12]} could not be written: {error.strerror}.",
                hint="Free some space on the device and run again.",
            ) from error
        self._digest.update(data)
        self.received += len(data)

    def restart(self) -> None:
        """Forget all bytes."""
        self._file.seek(0)
        self._file.truncate()
        self._digest = hashlib.sha256()
        self.received = 0
        self.resumed = False

    def finish(self) -> bool:
        """Check the whole and put it into the store; False (and all bytes forgotten) when they are not the announced ones."""
        if self._digest.hexdigest() != self._sha256:
            self.restart()
            return False
        self._file.flush()
        self._store.adopt(self._path, self._sha256)
        return True

    def close(self) -> None:
        """Keep what has arrived for the next attempt."""
        self._file.close()


def write_private(path: Path, data: bytes) -> None:
    """Replace the file at `path` in one step; nobody but its owner can read it, and no half of it is ever seen."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600 from birth
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
