"""Another computer as far as one machine can show it: another user in a network namespace of its own, joined by one cable.

It sees this checkout and this Python (bound into its own mount namespace, so that it needs no right to the folders above
them) and a home of its own; nothing of the daemon's state, no environment, no descriptor, no loopback of ours.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

NOBODY = 65534
SOURCE = Path(__file__).parents[2]
# `ip netns exec` has made the mount namespace: what is bound here is bound there alone.
ENTER = """
set -e
mount --bind "$1" "$3/source"
mount --bind "$2" "$3/python"
shift 3
exec setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all env -i "$@"
"""


def command(*arguments: str) -> str:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, f"{' '.join(arguments)}: {done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Elsewhere:
    """The other computer. `our_address` is ours on the cable; `home` belongs to its user."""

    namespace: str
    our_address: str
    stage: Path

    @property
    def home(self) -> Path:
        return self.stage / "home"

    def hand_over(self, name: str, text: str) -> Path:
        """Bring a file there, as a person would type it or carry it."""
        path = self.home / name
        path.write_text(text)
        path.chmod(0o600)
        os.chown(path, NOBODY, NOBODY)
        return path

    def python(self, *arguments: str) -> list[str]:
        """Return the command that runs Python there."""
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        source, python = self.stage / "source", self.stage / "python"
        packages = Path(json.__file__).parents[1].name  # python3.11
        site = source / Path(sys.prefix).relative_to(SOURCE) / "lib" / packages / "site-packages"
        paths = [*(str(source / part) for part in ("shared", "companion_app")), str(site)]
        variables = {
            "HOME": str(self.home),
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "LD_LIBRARY_PATH": str(python / "lib"),
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        enter = ["ip", "netns", "exec", self.namespace, "sh", "-c", ENTER, "enter"]
        binds = [str(SOURCE), sys.base_prefix, str(self.stage)]
        settings = [f"{name}={value}" for name, value in variables.items()]
        return [*enter, *binds, *settings, str(python / "bin" / f"python{version}"), *arguments]


@contextlib.contextmanager
def another_computer() -> Iterator[Elsewhere]:
    """Make it for the block."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and the Debian package iproute2 to make a network namespace")
    number = os.getpid() % 16000
    name, ours, theirs = f"edgeloop-{number}", f"el{number}a", f"el{number}b"
    net = f"198.18.{number // 63}.{number % 63 * 4}"  # RFC 2544: no network of anybody's
    prefix, _, last = net.rpartition(".")
    our_address, their_address = f"{prefix}.{int(last) + 1}", f"{prefix}.{int(last) + 2}"
    stage = Path(tempfile.mkdtemp(prefix="edgeloop-elsewhere-"))
    stage.chmod(0o755)
    for folder in ("source", "python", "home"):
        (stage / folder).mkdir(mode=0o700 if folder == "home" else 0o755)
    os.chown(stage / "home", NOBODY, NOBODY)
    try:
        command("ip", "netns", "add", name)
        command("ip", "link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", name)
        command("ip", "addr", "add", f"{our_address}/30", "dev", ours)
        command("ip", "link", "set", ours, "up")
        for device in ("lo", theirs):
            command("ip", "-n", name, "link", "set", device, "up")
        command("ip", "-n", name, "addr", "add", f"{their_address}/30", "dev", theirs)
        yield Elsewhere(name, our_address, stage)
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", ours], check=False, capture_output=True)
        shutil.rmtree(stage, ignore_errors=True)


@contextlib.contextmanager
def running(line: list[str], log: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a process for the block; its errors go to `log`."""
    with log.open("wb") as errors:
        process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL, text=True)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


def told(process: subprocess.Popen[str], event: str) -> dict[str, Any]:
    """Return the first status event called `event` that a companion prints."""
    assert process.stdout is not None
    for line in process.stdout:
        record: dict[str, Any] = json.loads(line)
        if record["event"] == event:
            return record
        assert record["event"] != "failed", record
    raise AssertionError(f"the companion ended without {event!r}: {process.wait()}")
