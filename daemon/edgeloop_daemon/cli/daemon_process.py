"""Starting and stopping the daemon as a background process."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Sequence

from edgeloop_daemon.cli.client import Client
from edgeloop_daemon.cli.service import Service
from edgeloop_daemon.store.folders import Folders
from edgeloop_shared import process_lock
from edgeloop_shared.errors import DaemonUnreachableError

START_SECONDS = 30.0
STOP_SECONDS = 30.0
_POLL_SECONDS = 0.02
_NO_ROOM = 64 * 1024  # bytes: what is missing to say why it does not start


def daemon_command(folders: Folders, options: Sequence[str] = ()) -> list[str]:
    """Return the argument vector that runs the daemon in the foreground."""
    # -P: the user stands in a folder whose files must not be taken for modules, nor for plugins, before it is trusted.
    return [sys.executable, "-P", "-m", "edgeloop_daemon", "--home", str(folders.root), *options]


def daemon_service(folders: Folders) -> Service:
    """Return the daemon as a service of the user's, installed or not."""
    return Service(folders, daemon_command(folders))


def start_daemon(client: Client, options: Sequence[str] = ()) -> bool:
    """Start the daemon unless it runs, and wait until it answers; return whether it was started now.

    Raises `DaemonUnreachableError` with the daemon's last words when it does not come up.
    """
    if client.is_running():
        return False
    folders = client.folders
    folders.create()
    folders.runtime.unlink(missing_ok=True)
    service = daemon_service(folders)
    if not options and service.is_installed() and service.start():
        wait_until_running(client)
        return True
    with folders.start_log.open("wb") as output:
        process = subprocess.Popen(
            daemon_command(folders, options),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            close_fds=True,
        )
    wait_until_running(client, process)
    return True


def wait_until_running(client: Client, process: subprocess.Popen[bytes] | None = None) -> None:
    """Wait until the daemon answers, which `process` is to be. Raises `DaemonUnreachableError` when it ends, or after 30 s."""
    folders = client.folders
    deadline = time.monotonic() + START_SECONDS
    while not client.is_running():
        # Two commands may start the daemon at once; the second one ends, because the folder is taken: wait for the first.
        if process is not None and process.poll() is not None and not process_lock.is_held(folders.lock):
            raise DaemonUnreachableError(
                "The daemon did not start.", hint=_last_words(folders) or f"See {folders.logs} for why."
            )
        if time.monotonic() > deadline:
            raise DaemonUnreachableError(
                f"The daemon does not answer after {START_SECONDS:.0f} s.", hint=f"See its log in {folders.logs}."
            )
        time.sleep(_POLL_SECONDS)


def wait_until_stopped(folders: Folders) -> None:
    """Wait until nobody holds the state folder. Raises `DaemonUnreachableError` after 30 s."""
    deadline = time.monotonic() + STOP_SECONDS
    while process_lock.is_held(folders.lock):
        if time.monotonic() > deadline:
            raise DaemonUnreachableError(
                f"The daemon still runs after {STOP_SECONDS:.0f} s.", hint=f"See its log in {folders.logs}."
            )
        time.sleep(_POLL_SECONDS)


def _last_words(folders: Folders) -> str:
    lines = folders.start_log.read_text(errors="replace").strip().splitlines()
    if not lines and shutil.disk_usage(folders.root).free < _NO_ROOM:
        return f"There is no room left on the disk of {folders.root}. Make room, then try again."
    # What ended the daemon may have been said before.
    return " ".join(dict.fromkeys(line.strip() for line in lines[-3:]))
