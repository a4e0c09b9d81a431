"""The daemon as a service of the user's: installed for systemd or launchd, and started and asked through them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgeloop_daemon.service_files import LABEL, UNIT, launchd_plist, systemd_unit
from edgeloop_daemon.store.folders import Folders
from edgeloop_shared.errors import EdgeloopError

_SECONDS = 60


class Service:
    """What systemd (or on macOS launchd) is told about the daemon that `command` runs on `folders`."""

    def __init__(
        self,
        folders: Folders,
        command: Sequence[str],
        variables: Mapping[str, str] = os.environ,
        platform: str = sys.platform,
    ) -> None:
        self._folders = folders
        self._command = command
        self._variables = variables
        self.is_launchd = platform == "darwin"
        home = Path(variables.get("HOME") or Path.home())
        config = Path(variables.get("XDG_CONFIG_HOME") or home / ".config")
        self.file = home / f"Library/LaunchAgents/{LABEL}.plist" if self.is_launchd else config / "systemd/user" / UNIT

    @property
    def manager(self) -> str:
        """Its name."""
        return "launchd" if self.is_launchd else "systemd"

    def content(self) -> bytes:
        """Return what the service's file holds, for this Python and this state folder."""
        path = self._variables.get("PATH", os.defpath)
        if self.is_launchd:
            return launchd_plist(self._folders, self._command, path)
        return systemd_unit(self._folders, self._command, path).encode()

    def is_installed(self) -> bool:
        """Return whether the file is there, and is about this state folder."""
        try:
            return str(self._folders.root).encode() in self.file.read_bytes()
        except OSError:
            return False

    def is_reachable(self) -> bool:
        """Return whether the manager runs for this user, so that it can be told something."""
        return self._tell("print", self._domain) if self.is_launchd else self._tell("show-environment")

    def is_active(self) -> bool:
        """Return whether the manager runs the daemon."""
        if self.is_launchd:
            return self._tell("print", f"{self._domain}/{LABEL}")
        return self._tell("is-active", "--quiet", UNIT)

    def write(self) -> None:
        """Write the file. Raises `EdgeloopError` where that is not possible."""
        try:
            self._folders.create()
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.write_bytes(self.content())
        except OSError as error:
            raise EdgeloopError(f"{self.file} cannot be written: {error.strerror}.") from None

    def enable(self) -> None:
        """Have the daemon started now and at every login. Raises `EdgeloopError` with the manager's words."""
        if self.is_launchd:
            self._demand("bootstrap", self._domain, str(self.file))
        else:
            self._demand("daemon-reload")
            self._demand("enable", "--now", UNIT)

    def start(self) -> bool:
        """Have the manager start the daemon; return whether it took that on."""
        if self.is_launchd:
            return self._tell("kickstart", f"{self._domain}/{LABEL}")
        return self._tell("start", UNIT)

    def remove(self) -> bool:
        """Have the manager stop the daemon and forget it, and remove the file; return whether there was one."""
        was_there = self.file.exists()
        if was_there and self.is_reachable():
            if self.is_launchd:
                self._tell("bootout", f"{self._domain}/{LABEL}")
            else:
                self._tell("disable", "--now", UNIT)
        self.file.unlink(missing_ok=True)
        if was_there and not self.is_launchd:
            self._tell("daemon-reload")
        return was_there

    def by_hand(self) -> str:
        """Return the command that does what `enable` does."""
        if self.is_launchd:
            return f"launchctl bootstrap gui/{os.getuid()} {self.file}"
        return f"systemctl --user daemon-reload && systemctl --user enable --now {UNIT}"

    @property
    def _domain(self) -> str:
        return f"gui/{os.getuid()}"

    def _tell(self, *words: str) -> bool:
        done = self._run(words)
        return done is not None and done.returncode == 0

    def _demand(self, *words: str) -> None:
        done = self._run(words)
        if done is None or done.returncode:
            said = done.stderr.strip() if done is not None else "it cannot be started"
            raise EdgeloopError(f"{self.manager} refuses to {words[0]} the service: {said}", hint=f"See {self.file}.")

    def _run(self, words: tuple[str, ...]) -> subprocess.CompletedProcess[str] | None:
        program = shutil.which("launchctl" if self.is_launchd else "systemctl", path=self._variables.get("PATH"))
        if program is None:
            return None
        command = [program, *words] if self.is_launchd else [program, "--user", *words]
        try:
            return subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_SECONDS,
                env=self._variables,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
