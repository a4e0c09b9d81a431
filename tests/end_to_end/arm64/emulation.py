"""Processes of the ARM64 system under qemu, in namespaces of their own: their mounts and their children end with them.

Since Linux 6.7 each user namespace has a table of its own of how foreign programs are begun (binfmt_misc). There the emulator is
entered for these processes alone, and a program that starts another one is none the wiser. Where the kernel does
not let us, the emulator is called by name, and Python of the ARM64 system is a script that does so again for each child.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from end_to_end.arm64.debian_root import EMULATOR, EXPLICIT_PYTHON, DebianRoot

from edgeloop_shared.errors import EdgeloopError

REGISTRATION = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")
STOP_SECONDS = 30.0
PROBE_SECONDS = 120.0
_TOP = Path(__file__).parents[3]
_PROBE = """
import platform, subprocess, sys
child = [sys.executable, "-c", "import platform; print(platform.machine())"]
print(platform.machine(), subprocess.run(child, capture_output=True, text=True).stdout.strip())
"""
# Not `exec`: the shell stays as the first process of its namespace, and reaps the orphans that guardians of runs become.
_ENTER = """
set -e
root=$1 registration=$2 emulator=$3; shift 3
if [ -n "$registration" ]; then
  mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
  cat "$registration" > /proc/sys/fs/binfmt_misc/register
else
  mount --bind "$emulator" "$root$emulator"
fi
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/tmp"
while [ "$1" != -- ]; do
  mount --bind "$1" "$root/edgeloop/$2"; shift 2
done
shift
status=0
chroot "$root" "$@" || status=$?
exit $status
"""


@dataclass(frozen=True)
class Emulation:
    """How programs of `system` are begun; `state` is the folder that they see as /edgeloop/state."""

    system: DebianRoot
    state: Path
    is_registered: bool
    why: str = ""
    """Why the emulator is called by name."""

    def __str__(self) -> str:
        if self.is_registered:
            return "binfmt_misc, registered in a user namespace of these processes alone"
        return f"{EMULATOR.name} called by name{self.why and f', since the kernel does not begin it here: {self.why}'}"

    @contextmanager
    def python(self, *arguments: str, output: IO[bytes], errors: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
        """Run Python of the system for the block; at its end it gets SIGTERM, and SIGKILL if that is not enough."""
        process = subprocess.Popen(
            self._command(arguments),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "LC_ALL": "C.UTF-8",
                "PYTHONPATH": "/edgeloop/packages:/edgeloop/companion_app:/edgeloop/shared",
                "PYTHONDONTWRITEBYTECODE": "1",  # what is kept for the next time stays as it is
            },
            start_new_session=True,
        )
        try:
            yield process
        finally:
            self._stop(process)

    def _command(self, arguments: Sequence[str]) -> list[str]:
        user = ("--user", "--map-root-user") if self.is_registered else ()
        registration = str(REGISTRATION) if self.is_registered else ""
        python = f"/usr/bin/python{self.system.python}"
        program = (python,) if self.is_registered else (str(EMULATOR), "-0", EXPLICIT_PYTHON, python)
        mounts = {
            self.system.packages: "packages",
            _TOP / "companion_app": "companion_app",
            _TOP / "shared": "shared",
            self.state: "state",
        }
        return [
            # If this process is killed, so is unshare, and with it everything in its namespaces.
            *(
                "setpriv",
                "--pdeathsig",
                "KILL",
                "unshare",
                *user,
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "--",
                "sh",
                "-c",
                _ENTER,
                "sh",
            ),
            *(str(self.system.root), registration, str(EMULATOR)),
            *(part for folder, name in mounts.items() for part in (str(folder), name)),
            *("--", *program, *arguments),
        ]

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        # To the group: unshare and the shell let it pass, Python takes it.
        for number in (signal.SIGTERM, signal.SIGKILL):
            if process.poll() is None:
                os.killpg(process.pid, number)
                try:
                    process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    continue


def choose_emulation(system: DebianRoot, state: Path, *, is_explicit: bool = False) -> Emulation:
    """Return the first way in which Python of `system` starts and starts a child.

    `is_explicit` leaves out the kernel's own. Raises `EdgeloopError` with what each way said, when there is none.
    """
    why = ""
    for is_registered in (True, False)[is_explicit:]:
        emulation = Emulation(system, state, is_registered, why)
        said = state / "probe"
        with said.open("wb") as output, emulation.python("-c", _PROBE, output=output, errors=output) as process:
            process.wait(PROBE_SECONDS)
        why = said.read_text(errors="replace").strip()
        if why == "aarch64 aarch64":
            return emulation
    raise EdgeloopError(f"No ARM64 program can be run here: {why}")
