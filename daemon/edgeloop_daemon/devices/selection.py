"""Which files of a workspace are chosen to travel: by name, by glob, or because an argument names one; none from outside."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from edgeloop_shared.bundles import MAX_BUNDLE_BYTES, MAX_FILES, check_bundle_path
from edgeloop_shared.conversions import record_path
from edgeloop_shared.errors import BundleError, InvalidInputError, NotFoundError, TooLargeError

_SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules"})


class Selection:
    """The chosen files: by their path in the bundle, where their bytes are. Links are followed inside the workspace only."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._bytes = 0
        self.files: dict[str, Path] = {}

    def add_run(
        self, script: str, arguments: tuple[str, ...], usual: tuple[str, ...], include: tuple[str, ...] = ()
    ) -> tuple[str, tuple[str, ...]]:
        """Add what a run of `script` takes along; return the script's path from the root, and the arguments for the device.

        Of `include` each glob must name something, of the `usual` ones none has to.
        """
        path = self.add_file(script, "script")
        self.add_python_files()
        for pattern in usual:
            self.add_glob(pattern)
        for pattern in include:
            if not self.add_glob(pattern):
                raise InvalidInputError(f"Nothing in the workspace matches the include {pattern!r}.")
        return path, tuple(self.add_argument(argument) for argument in arguments)

    def add_file(self, name: str, noun: str = "file") -> str:
        """Add a file; return its path from the root. Raises `NotFoundError`, `BundleError`, `TooLargeError`."""
        path = bundle_path(self._root, name, noun)
        if not is_file(self._root / path):
            raise NotFoundError(f"There is no {noun} {path} in the workspace {self._root}.")
        self._add(path)
        return path

    def place(self, target: str, source: str) -> None:
        """Add the file `source` as `target`."""
        check_bundle_path(target)
        self._add(source, target)

    def add_python_files(self) -> None:
        """Add all Python files that are not hidden."""
        for path in self._walk(self._root):
            if path.endswith(".py") and not PurePosixPath(path).name.startswith("."):
                self._add(path)

    def add_glob(self, pattern: str) -> bool:
        """Add what `pattern` names, folders with all that is in them; return whether that is anything."""
        parts = PurePosixPath(pattern).parts
        if not parts or PurePosixPath(pattern).is_absolute() or ".." in parts or "\\" in pattern or "\0" in pattern:
            raise InvalidInputError(
                f"The include {pattern!r} does not name files inside the workspace.",
                hint="Use paths and globs relative to the workspace, such as models/*.mnn or data/**.",
            )
        before = len(self.files)
        wants_hidden = parts[-1].startswith(".")
        found = False
        try:
            for match in sorted(self._root.glob(pattern)):
                relative = match.relative_to(self._root).as_posix()
                if relative == ".":
                    children: Iterator[str] = self._walk(self._root)
                elif match.is_dir():
                    children = self._walk(match)
                else:
                    children = iter((relative,))
                for path in children:
                    name = PurePosixPath(path).name
                    if self._is_skipped(path) or (name.startswith(".") and not wants_hidden):
                        continue
                    if (self._root / path).is_file():
                        found = True
                        self._add(path)
        except ValueError as error:
            raise InvalidInputError(f"The include {pattern!r} is no glob: {error}.") from None
        return found or len(self.files) > before

    def add_argument(self, argument: str) -> str:
        """Add the file that an argument names, if it does; return the argument as the device needs it."""
        option, equals, value = argument.partition("=")
        if equals and option.startswith("-"):
            return f"{option}={self.add_argument(value)}"
        path = _inside(self._root, argument)
        try:
            if path is None or path == "." or self._is_skipped(path) or not (self._root / path).is_file():
                return argument
        except (OSError, ValueError):  # too long for a file name, or with a NUL
            return argument
        self._add(path)
        return path if Path(argument).is_absolute() else argument

    def _walk(self, folder: Path) -> Iterator[str]:
        """Yield the files below `folder`, without hidden folders, caches and virtual environments."""
        for base, folders, names in os.walk(folder):
            folders[:] = sorted(
                name for name in folders if not _skips(name) and not (Path(base, name) / "pyvenv.cfg").is_file()
            )
            for name in sorted(names):
                yield Path(base, name).relative_to(self._root).as_posix()

    def _is_skipped(self, path: str) -> bool:
        return any(_skips(part) for part in PurePosixPath(path).parts[:-1])

    def _add(self, path: str, target: str | None = None) -> None:
        if (target or path) in self.files:
            return
        source = self._root / path
        try:
            resolved = source.resolve(strict=True)
        except (OSError, RuntimeError):
            raise BundleError(
                f"{path} is a link that leads nowhere.", hint="Remove or repair it.", details={"path": path}
            ) from None
        if not resolved.is_relative_to(self._root):
            raise BundleError(
                f"{path} is a link that leaves the workspace.",
                hint="Only files inside the workspace travel to a device: copy it in, or leave it out.",
                details={"path": path},
            )
        if self._is_skipped(resolved.relative_to(self._root).as_posix()):
            raise BundleError(
                f"{path} is a link into a hidden folder.", hint="Copy what it names.", details={"path": path}
            )
        if not resolved.is_file():
            return
        self.files[target or path] = resolved
        if resolved.suffix == ".mnn" and record_path(source).is_file():  # what its operators are called in its source
            self._add(record_path(Path(path)).as_posix(), record_path(Path(target or path)).as_posix())
        self._bytes += resolved.stat().st_size
        if len(self.files) > MAX_FILES:
            raise too_many(len(self.files))
        if self._bytes > MAX_BUNDLE_BYTES:
            raise TooLargeError(
                f"The files for {path} and the others exceed the limit of {MAX_BUNDLE_BYTES} bytes for a bundle.",
                hint="Name fewer files under [run] include in edgeloop.toml.",
                details={"limit": MAX_BUNDLE_BYTES},
            )


def bundle_path(root: Path, name: str, noun: str = "file") -> str:
    """Return the path from `root` that `name` spells (links not considered). Raises `BundleError` if it leads out of there."""
    path = _inside(root, name)
    if path is None:
        raise BundleError(
            f"The {noun} {name[:200]!r} is outside the workspace {root}.",
            hint="Only files of the workspace travel to a device.",
            details={"path": name[:200]},
        )
    return path


def is_file(path: Path) -> bool:
    """Return whether there is a file, also for a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long for a file name, or with a NUL
        return False


def _inside(root: Path, text: str) -> str | None:
    if not text or "\0" in text:
        return None
    path = os.path.relpath(os.path.normpath(root / text), root)
    return None if path == ".." or path.startswith("../") else path


def _skips(folder: str) -> bool:
    return folder.startswith(".") or folder in _SKIPPED_FOLDERS


def too_many(count: int) -> TooLargeError:
    """Return the error of a bundle of `count` files."""
    return TooLargeError(
        f"A bundle of {count} files exceeds the limit.",
        hint="Name fewer files under [run] include in edgeloop.toml.",
        details={"limit": MAX_FILES},
    )
