"""Virtual devices: companions without a screen, each a process of its own that pairs like a phone does."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from edgeloop_daemon.store.folders import Folders
from edgeloop_shared import process_lock
from edgeloop_shared.errors import DeviceUnavailableError, InvalidInputError, error_from_dict

PAIR_SECONDS = 30.0
STOP_SECONDS = 10.0
_POLL_SECONDS = 0.02
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


class VirtualDevice:
    """One virtual device by its name. Its folder is its own: the daemon never reads it."""

    def __init__(self, folders: Folders, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise InvalidInputError(
                f"{name!r} cannot name a virtual device.", hint="Use up to 32 letters, digits, dashes and underscores."
            )
        self.name = name
        self.folder = folders.virtual_devices / name

    @property
    def is_running(self) -> bool:
        """Whether its process lives."""
        return process_lock.is_held(self.folder / "lock")

    @property
    def is_paired(self) -> bool:
        """Whether it has been paired before."""
        return (self.folder / "pairings.json").exists()

    def start(self, offer: str | None) -> subprocess.Popen[bytes]:
        """Start its process; with the text of a QR code it pairs first."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        command = [sys.executable, "-m", "edgeloop_companion", "--state", str(self.folder), "--name", self.name]
        command += ["--virtual", "--allow"]
        if offer is not None:
            # Through a file that only this user can read: an argument would show in `ps`.
            offer_file = self.folder / "offer"
            offer_file.touch(mode=0o600)
            offer_file.write_text(offer)
            command += ["--pair-offer-file", str(offer_file)]
        with self._events.open("wb") as output, (self.folder / "companion.log").open("ab") as errors:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, start_new_session=True
            )

    def wait_for(self, event: str, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        """Return the first status event called `event`. Raises the device's error, or `DeviceUnavailableError`."""
        deadline = time.monotonic() + PAIR_SECONDS
        while True:
            ended = process.poll() is not None
            for record in self._read_events():
                if record.get("event") == event:
                    return record
                if record.get("event") == "failed":
                    raise error_from_dict(record["error"])
            if ended or time.monotonic() > deadline:
                reason = (
                    f"ended with status {process.returncode}" if ended else f"said nothing for {PAIR_SECONDS:.0f} s"
                )
                raise DeviceUnavailableError(
                    f"The virtual device {self.name} {reason}.", hint=f"Its log is {self.folder / 'companion.log'}."
                )
            time.sleep(_POLL_SECONDS)

    def stop(self) -> bool:
        """End its process; return whether there was one."""
        lock = self.folder / "lock"
        if not process_lock.signal_holder(lock):
            return False
        deadline = time.monotonic() + STOP_SECONDS
        while process_lock.is_held(lock):
            if time.monotonic() > deadline:
                process_lock.signal_holder(lock, signal.SIGKILL)
            time.sleep(_POLL_SECONDS)
        return True

    def forget(self) -> None:
        """Remove its state, pairing included."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _events(self) -> Path:
        return self.folder / "events.jsonl"

    def _read_events(self) -> list[dict[str, Any]]:
        lines = self._events.read_text(errors="replace").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n") and line.strip()]


def known_virtual_devices(folders: Folders) -> list[VirtualDevice]:
    """Return the virtual devices that have a folder, by name."""
    if not folders.virtual_devices.is_dir():
        return []
    names = sorted(entry.name for entry in folders.virtual_devices.iterdir() if _NAME.fullmatch(entry.name))
    return [VirtualDevice(folders, name) for name in names]


def stop_virtual_devices(folders: Folders, *, keep: Collection[str] = ()) -> list[str]:
    """End all virtual devices that run, but those called as in `keep`; return their names."""
    return [device.name for device in known_virtual_devices(folders) if device.name not in keep and device.stop()]
