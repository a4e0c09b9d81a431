"""A Debian for ARM64 in a folder, with what the companion needs: made once, and kept for the next time.

Nothing in it is run to make it: debootstrap's first stage fetches the packages and checks their signatures, and they are
unpacked here. Which mirror and which Debian is what apt of this machine is configured for.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgeloop_shared import process_lock
from edgeloop_shared.errors import ConflictError, EdgeloopError

PACKAGES = ("aiohttp", "debugpy", "ifaddr", "MNN", "numpy", "uvloop", "zeroconf")
"""What the companion and its tasks import, and nothing of the daemon."""
MOUNT_POINTS = ("edgeloop/packages", "edgeloop/companion_app", "edgeloop/shared", "edgeloop/state")
EMULATOR = Path("/usr/bin/qemu-aarch64-static")
EXPLICIT_PYTHON = "/edgeloop/python3"
_PLATFORMS = ("manylinux2014_aarch64", "manylinux_2_28_aarch64")
_TOP = Path(__file__).parents[3]
_CONSTRAINTS = _TOP / "constraints.txt"

Step = Callable[[str], None]
"""Told what is done next."""


@dataclass(frozen=True)
class DebianRoot:
    """The system's folder, the folder of its Python packages, and the number of its Python, such as 3.11."""

    root: Path
    packages: Path
    python: str


@contextmanager
def debian_root(cache: Path, step: Step) -> Iterator[DebianRoot]:
    """Make the system in the folder `cache` as far as it is not there already, and keep others out for the block."""
    cache.mkdir(parents=True, exist_ok=True)
    with process_lock.held(cache / "lock") as is_ours:
        if not is_ours:
            raise ConflictError(f"Another process uses {cache}.", hint="Wait for it, or name another folder: --cache.")
        mirror, suite = debian_mirror(_apt_indexes())
        root = cache / suite
        if not root.is_dir():
            step(f"fetch and unpack Debian {suite} for ARM64")
            _once(root, lambda folder: _unpack(folder, mirror, suite))
        python = _python_of(root)
        pins = _CONSTRAINTS.read_text()
        name = hashlib.sha256(repr((PACKAGES, _PLATFORMS, python, pins)).encode()).hexdigest()[:12]
        packages = cache / f"packages-{name}"
        if not packages.is_dir():
            step(f"fetch the wheels of {', '.join(PACKAGES)} for ARM64")
            for earlier in cache.glob("packages-*"):
                shutil.rmtree(earlier)
            _once(packages, lambda folder: _install(folder, python))
        yield DebianRoot(root, packages, python)


def debian_mirror(indexes: str) -> tuple[str, str]:
    """Return the address and the code name of the Debian that apt installs from, by the lines `ADDRESS|ORIGIN|CODENAME|COMPONENT`.

    Raises `EdgeloopError` when it is no Debian.
    """
    for line in indexes.splitlines():
        address, origin, suite, component = line.split("|")
        if origin == "Debian" and component == "main" and "-" not in suite:
            return address, suite
    raise EdgeloopError(
        "apt of this machine knows no Debian from which an ARM64 system could be made.",
        hint="Run this on Debian, after `apt-get update`.",
    )


def _apt_indexes() -> str:
    form = "$(REPO_URI)|$(ORIGIN)|$(CODENAME)|$(COMPONENT)"
    return _run("apt-get", "indextargets", "--format", form, "Created-By: Packages")


def _once(folder: Path, make: Callable[[Path], None]) -> None:
    """Have `folder` made under another name: one of its own name is whole."""
    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    make(unfinished)
    unfinished.rename(folder)


def _unpack(root: Path, mirror: str, suite: str) -> None:
    _run("debootstrap", "--arch=arm64", "--foreign", "--variant=minbase", "--include=python3", suite, str(root), mirror)
    for package in sorted((root / "var/cache/apt/archives").glob("*.deb")):
        # Not `dpkg-deb --extract`, which puts folders in the place of the links that merge /lib into /usr/lib.
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as unpacking:
            subprocess.run(
                ["tar", "--extract", "--directory", str(root), "--keep-directory-symlink"],
                stdin=unpacking.stdout,
                check=True,
            )
        if unpacking.returncode:
            raise EdgeloopError(f"{package.name} cannot be unpacked.")
        package.unlink()
    if (root / "proc").is_symlink():  # in a container debootstrap has it lead to the one outside
        (root / "proc").unlink()
    for name in ("proc", *MOUNT_POINTS):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / EMULATOR.relative_to("/")).touch()
    _compile(root / "usr/lib", _python_of(root))
    explicit = root / EXPLICIT_PYTHON.lstrip("/")
    explicit.write_text(explicit_python(_python_of(root)))
    explicit.chmod(0o755)


def explicit_python(version: str) -> str:
    """Return the text of a program that stands for Python where the kernel does not know how ARM64 programs are begun.

    What a program starts must then be a program of this machine, so its first line names the emulator: that begins Python with
    this text as the script, which calls Python once more with the true arguments and says that its own name is the program's.
    """
    emulator, python = str(EMULATOR), f"/usr/bin/python{version}"
    command = f'"{emulator}", "-0", "{EXPLICIT_PYTHON}", "{python}"'
    return f'#!{emulator} {python}\nimport os, sys\nos.execv("{emulator}", [{command}, *sys.argv[1:]])\n'


def _python_of(root: Path) -> str:
    return (root / "usr/bin/python3").readlink().name.removeprefix("python")


def _install(folder: Path, python: str) -> None:
    platforms = [part for platform in _PLATFORMS for part in ("--platform", platform)]
    # pip of this computer fetches wheels for another one; nothing is built, nothing of them is run.
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder)]
    command += [
        "--constraint",
        str(_CONSTRAINTS),
        "--only-binary=:all:",
        "--python-version",
        python,
        *platforms,
        *PACKAGES,
    ]
    _run(*command)


def _compile(folder: Path, python: str) -> None:
    """Compile Python's own library here, where it takes seconds; under emulation every start of Python would."""
    if python == "{}.{}".format(*sys.version_info):
        _run(sys.executable, "-m", "compileall", "-q", "-j", "0", str(folder / f"python{python}"))


def _run(*command: str) -> str:
    """Return what a command prints. Raises `EdgeloopError` with its last words."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
    except FileNotFoundError:
        raise EdgeloopError(f"{command[0]} is missing.", hint="`make test-arm64` as root installs it.") from None
    if done.returncode:
        words = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise EdgeloopError(f"{command[0]} ended with status {done.returncode}:\n{words}")
    return done.stdout
