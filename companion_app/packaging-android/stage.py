"""Put together what buildozer needs: `python stage.py build/android --mnn-wheels FOLDER`.

The app holds exactly the packages companion, task and shared, and two files to begin with. What else lies in their folders and
is no source is refused, so that nothing reaches a phone by accident. `manifest.json` names every file with its SHA-256.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import struct
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[1]
PACKAGES = {
    "edgeloop_companion": TOP / "companion_app",
    "edgeloop_task": TOP / "companion_app",
    "edgeloop_shared": TOP / "shared",
}
ENTRIES = ("main.py", "worker_service.py")
BESIDE = ("buildozer.spec", "extra_manifest.xml", "icons", "recipes")
STAGED, LEFT_OUT = frozenset({".py", ".kv", ".png"}), frozenset({"py.typed"})
MNN_REQUIREMENT = re.compile(r",\s*MNN==[\d.]+")
PYTHON_TAG, MAX_API = "cp314", 24
ABIS = {"arm64_v8a": 183, "x86_64": 62}
"""Processors as wheels for Android name them (PEP 738), and as ELF does (`e_machine`)."""
NO_MNN = """\
MNN publishes no wheel for Android, so the app needs one of yours: name its folder with --mnn-wheels. docs/android.md tells
how to build it. With --without-mnn the app pairs and runs scripts, but no models.
"""
_WHEEL = re.compile(
    r"(?i:mnn)-(?P<version>3\.[\d.]+)(-\d\w*)?-(?P<python>\w+)-\w+-android_(?P<api>\d+)_(?P<abi>\w+)\.whl"
)


class StageError(Exception):
    """What is wrong, and what to do about it."""


@dataclass(frozen=True)
class Staged:
    """What was staged: the SHA-256 of every file by its path in the app, and the names of the wheels of MNN."""

    files: dict[str, str]
    wheels: tuple[str, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Stage; return the exit code."""
    parser = argparse.ArgumentParser(description="Put together what buildozer needs for the Android app.")
    parser.add_argument("target", type=Path, help="folder to make, such as build/android")
    mnn = parser.add_mutually_exclusive_group()
    mnn.add_argument("--mnn-wheels", type=Path, metavar="FOLDER", help="where your wheel of MNN for Android lies")
    mnn.add_argument("--without-mnn", action="store_true", help="an app that pairs and runs scripts, but no models")
    options = parser.parse_args(arguments)
    if options.mnn_wheels is None and not options.without_mnn:
        sys.stderr.write(NO_MNN)
        return 1
    try:
        staged = stage(options.target, options.mnn_wheels)
    except StageError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    with_mnn = ", ".join(staged.wheels) or "without MNN: the app runs no models"
    sys.stdout.write(f"{options.target} holds {len(staged.files)} files of the app; {with_mnn}.\n")
    sys.stdout.write(f"Next: cd {options.target} && buildozer android debug\n")
    return 0


def stage(target: Path, mnn_wheels: Path | None) -> Staged:
    """Make the folder `target` anew; without `mnn_wheels` the app has no MNN. What buildozer has built there stays.

    Raises `StageError` for a file that does not belong into the app, a wheel that does not fit, a folder that is not ours.
    """
    wheels = () if mnn_wheels is None else tuple(sorted(_fitting_wheels(mnn_wheels)))
    sources = dict(_sources())
    if target.exists() and any(target.iterdir()) and not (target / "manifest.json").is_file():
        raise StageError(f"{target} holds other things. Name a new folder.")
    target.mkdir(parents=True, exist_ok=True)
    manifest = target / "manifest.json"
    manifest.touch()  # it is ours from here on, also when this is interrupted
    for name in ("app", "wheels", *BESIDE):
        _remove(target / name)
    app = target / "app"
    for name, source in sources.items():
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, app / name)
    for name in BESIDE:
        _copy(HERE / name, target / name)
    if not wheels:
        spec = target / "buildozer.spec"
        spec.write_text(MNN_REQUIREMENT.sub("", spec.read_text()))
    (target / "wheels").mkdir()
    for wheel in wheels:
        shutil.copyfile(wheel, target / "wheels" / wheel.name)
    staged = Staged({name: _sha256(app / name) for name in sorted(sources)}, tuple(wheel.name for wheel in wheels))
    manifest.write_text(json.dumps({"files": staged.files, "wheels": staged.wheels}, indent=1) + "\n")
    return staged


def _sources() -> Iterator[tuple[str, Path]]:
    """Yield each file of the app: its path there, and where it is. Raises `StageError` for one that does not belong there."""
    for name in ENTRIES:
        yield name, HERE / name
    for package, folder in PACKAGES.items():
        for path in sorted((folder / package).rglob("*")):
            if "__pycache__" in path.parts or path.name in LEFT_OUT:
                continue
            if path.is_symlink() or not (path.is_dir() or (path.is_file() and path.suffix in STAGED)):
                raise StageError(
                    f"{path} does not belong into the app. Remove it, or teach {Path(__file__).name} its kind."
                )
            if path.is_file():
                yield path.relative_to(folder).as_posix(), path


def _fitting_wheels(folder: Path) -> Iterator[Path]:
    """Yield the wheels of MNN in `folder`, one for each processor. Raises `StageError` when there is none, or one does not fit."""
    if not folder.is_dir():
        raise StageError(
            f"{folder} is no folder. Put your wheel of MNN for Android into one, and name it with --mnn-wheels."
        )
    abis: set[str] = set()
    for path in sorted(folder.glob("*.whl")):
        found = _WHEEL.fullmatch(path.name)
        if found is None or found["abi"] not in ABIS:
            continue
        if found["python"] != PYTHON_TAG or int(found["api"]) > MAX_API:
            raise StageError(
                f"{path.name} does not fit: the app has Python {PYTHON_TAG} and runs on Android's API {MAX_API} and newer. "
                f"Its name must be like MNN-3.6.1-{PYTHON_TAG}-{PYTHON_TAG}-android_{MAX_API}_{found['abi']}.whl."
            )
        if found["abi"] in abis:
            raise StageError(f"{folder} holds several wheels of MNN for {found['abi']}. Leave one.")
        abis.add(found["abi"])
        _look_into(path, ABIS[found["abi"]])
        yield path
    if not abis:
        raise StageError(
            f"{folder} holds no wheel of MNN for Android, such as MNN-3.6.1-{PYTHON_TAG}-{PYTHON_TAG}-android_{MAX_API}"
            "_arm64_v8a.whl. MNN publishes none: docs/android.md tells how to build one."
        )


def _look_into(wheel: Path, machine: int) -> None:
    """Raise `StageError` unless a wheel holds MNN's Python package and a native module for the processor `machine`."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            heads = {}
            for name in names:
                if name.endswith(".so"):
                    with archive.open(name) as file:
                        heads[name] = file.read(20)
    except (OSError, zipfile.BadZipFile) as error:
        raise StageError(f"{wheel} cannot be read as a wheel: {error}.") from None
    if "MNN/__init__.py" not in names or not any(name.startswith("_mnncengine") for name in heads):
        raise StageError(f"{wheel} holds no MNN with its native module _mnncengine.")
    for name, head in heads.items():
        # ELF's header: magic, then 64 bits (2) and little-endian (1), and e_machine in bytes 18 and 19
        if head[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<H", head, 18)[0] != machine:
            raise StageError(f"{name} in {wheel.name} is for another processor than the wheel's name says.")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.svg"))
    else:
        shutil.copyfile(source, target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
