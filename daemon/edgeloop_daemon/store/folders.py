"""Where the daemon keeps what it keeps. `EDGELOOP_HOME` overrides the platform's usual folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edgeloop_shared.errors import InvalidInputError, StorageError

HOME_VARIABLE = "EDGELOOP_HOME"


@dataclass(frozen=True)
class Folders:
    """The paths below one state folder; only this user may read them."""

    root: Path

    @classmethod
    def of_user(cls) -> Folders:
        """Return this user's folders, without creating them."""
        if override := os.environ.get(HOME_VARIABLE):
            return cls(Path(override).expanduser().absolute())
        import platformdirs  # a tenth of what `edgeloop --help` takes

        return cls(platformdirs.user_state_path("edgeloop"))

    def create(self) -> None:
        """Create the folders, readable by this user alone.

        Raises `InvalidInputError` when the state folder belongs to somebody else, who could change what is in it: anybody may
        make a folder or a link with that name in a shared place such as /tmp. Raises `StorageError` when they cannot be made.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            owner = self.root.stat().st_uid
            if owner != os.geteuid():
                raise InvalidInputError(
                    f"The state folder {self.root} belongs to another user (uid {owner}).",
                    hint=f"Choose a folder of your own with {HOME_VARIABLE}.",
                )
            self.root.chmod(0o700)
            for folder in (self.jobs, self.blobs, self.logs, self.virtual_devices):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            where = "" if error.filename == str(self.root) else f" ({error.filename})"
            raise StorageError(
                f"The state folder {self.root} cannot be used: {error.strerror}{where}.",
                hint=f"`edgeloop doctor` tells more; {HOME_VARIABLE} chooses another folder.",
            ) from None

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.root / "edgeloop.db"

    @property
    def jobs(self) -> Path:
        """One folder per job."""
        return self.root / "jobs"

    @property
    def blobs(self) -> Path:
        """Files by the SHA-256 of their content."""
        return self.root / "blobs"

    @property
    def logs(self) -> Path:
        """The daemon's own logs."""
        return self.root / "logs"

    @property
    def daemon_log(self) -> Path:
        """The newest of the daemon's log files."""
        return self.logs / "daemon.log"

    @property
    def start_log(self) -> Path:
        """What the daemon prints when it runs in the background: its errors."""
        return self.logs / "start.log"

    @property
    def virtual_devices(self) -> Path:
        """The state of virtual devices: one folder each, which the daemon itself never reads."""
        return self.root / "virtual-devices"

    @property
    def companion(self) -> Path:
        """The state of the companion app in a window, which the daemon itself never reads."""
        return self.root / "companion"

    @property
    def certificate(self) -> Path:
        """The device port's certificate (PEM)."""
        return self.root / "device-port.crt"

    @property
    def certificate_key(self) -> Path:
        """The private key of the certificate (PEM, 0600)."""
        return self.root / "device-port.key"

    @property
    def runtime(self) -> Path:
        """The file that tells clients where the daemon listens: `{pid, port, token}`, 0600."""
        return self.root / "runtime.json"

    @property
    def lock(self) -> Path:
        """Held by the running daemon: one daemon per state folder."""
        return self.root / "daemon.lock"

    @property
    def disabled_plugins(self) -> Path:
        """The names of the plugins that are not loaded."""
        return self.root / "disabled-plugins.json"

    @property
    def passed_trials(self) -> Path:
        """The plugins of third parties that have been tried and loaded, and what they were then."""
        return self.root / "passed-trials.json"

    @property
    def declarations(self) -> Path:
        """What the plugins of the last daemon declared, for the command line."""
        return self.root / "declarations.json"
