"""A bundle: what travels to a device for one task, as a manifest of paths plus blobs by content. Never an archive."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from edgeloop_shared.codec import printable
from edgeloop_shared.errors import BundleError, TooLargeError

MAX_MANIFEST_BYTES = 1024 * 1024
MAX_FILES = 10_000
MAX_BUNDLE_BYTES = 2 * 1024**3
MAX_PATH_CHARACTERS = 512
MAX_PATH_PARTS = 64

SHA256_PATTERN = "^[0-9a-f]{64}$"
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class BundleFile:
    """One file: its path relative to the task's folder with `/`, and its content. `mode` is 0o644 or 0o755."""

    path: str = field(metadata={"min_length": 1, "max_length": MAX_PATH_CHARACTERS})
    sha256: str = field(metadata={"pattern": SHA256_PATTERN})
    size: int = field(metadata={"ge": 0, "le": MAX_BUNDLE_BYTES})
    mode: int = 0o644


@dataclass(frozen=True)
class BundleManifest:
    """The files of a bundle. Construction checks every path and limit, so that a manifest in hand is a safe one.

    Raises `BundleError` for a path that is absolute, leaves the folder, is spelled ambiguously or stands twice (also
    when only its case or its Unicode form differs: many phones' file systems fold both), and `TooLargeError`.
    """

    files: tuple[BundleFile, ...] = field(metadata={"max_length": MAX_FILES})

    def __post_init__(self) -> None:
        if len(self.files) > MAX_FILES:
            raise TooLargeError(
                f"A bundle of {len(self.files)} files exceeds the limit of {MAX_FILES}.",
                hint="Name fewer files under [run] include in edgeloop.toml.",
                details={"limit": MAX_FILES},
            )
        total = sum(file.size for file in self.files)
        if total > MAX_BUNDLE_BYTES:
            raise TooLargeError(
                f"A bundle of {total} bytes exceeds the limit of {MAX_BUNDLE_BYTES}.",
                hint="Name fewer or smaller files under [run] include in edgeloop.toml.",
                details={"limit": MAX_BUNDLE_BYTES, "size": total},
            )
        seen: dict[str, str] = {}
        sizes: dict[str, int] = {}
        for file in self.files:
            check_bundle_path(file.path)
            if file.mode not in (0o644, 0o755):
                raise _refused(file.path, f"has the mode {file.mode:o}; only 644 and 755 travel")
            if file.size < 0 or _SHA256.fullmatch(file.sha256) is None:
                raise _refused(file.path, "has no possible size and SHA-256")
            if sizes.setdefault(file.sha256, file.size) != file.size:
                raise _refused(file.path, "announces another size than a file with the same hash")
            _claim(file.path, seen)

    @property
    def sizes(self) -> Mapping[str, int]:
        """The size in bytes of every blob, by SHA-256."""
        return {file.sha256: file.size for file in self.files}


def check_bundle_path(path: str) -> None:
    """Raise `BundleError` unless `path` names a file inside the folder on every file system that a device may have."""
    if not path or len(path) > MAX_PATH_CHARACTERS:
        raise _refused(path, f"has {len(path)} characters; 1 to {MAX_PATH_CHARACTERS} are allowed")
    if path.startswith("/") or (len(path) > 1 and path[1] == ":"):
        raise _refused(path, "is absolute")
    if "\\" in path:
        raise _refused(path, "holds a backslash")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in path):
        raise _refused(path, "holds a control character or a lone surrogate")
    parts = path.split("/")
    if len(parts) > MAX_PATH_PARTS:
        raise _refused(path, f"lies more than {MAX_PATH_PARTS - 1} folders deep")
    if any(part in ("", ".", "..") for part in parts):
        raise _refused(path, "holds an empty part, '.' or '..'")
    if any(part.endswith((".", " ")) or len(part.encode()) > 255 for part in parts):
        raise _refused(path, "has a part that some file systems cannot hold")


def _claim(path: str, seen: dict[str, str]) -> None:
    """Enter `path` and its folders into `seen`, refusing twins and a file where a folder must be."""
    parts = path.split("/")
    for length in range(1, len(parts) + 1):
        prefix = "/".join(parts[:length])
        # Canonical caseless matching: The Unicode Standard, section 3.13, D145.
        folded = unicodedata.normalize("NFD", unicodedata.normalize("NFD", prefix).casefold())
        marked = prefix if length == len(parts) else prefix + "/"
        if folded not in seen:
            seen[folded] = marked
        elif seen[folded] != marked or length == len(parts):
            raise _refused(path, f"clashes with {seen[folded].rstrip('/')!r}")


def _refused(path: str, reason: str) -> BundleError:
    shown = printable(path)
    return BundleError(
        f"The path '{shown}' {reason}.",
        hint="Only plain files below the task's folder travel, each under one unambiguous name.",
        details={"path": shown},
    )
