"""The files by which systemd and launchd start the daemon when its user logs in.

Both leave the daemon's children alone when it stops: the supervisors of jobs outlive it, and the next daemon finds them
(`KillMode=process`, `AbandonProcessGroup`).
"""

from __future__ import annotations

import plistlib
from collections.abc import Sequence

from edgeloop_daemon.store.folders import HOME_VARIABLE, Folders

UNIT = "edgeloop.service"
LABEL = "dev.edgeloop.daemon"
STOP_SECONDS = 40  # more than the daemon takes to stop at the worst

_UNIT_TEXT = """\
[Unit]
Description=edgeloop daemon ({home})

[Service]
Type=exec
ExecStart={command}
Environment={environment}
Restart=on-failure
RestartSec=2
# Jobs have supervisors that outlive the daemon: stopping or restarting it must not end them.
KillMode=process
TimeoutStopSec={stop_seconds}

[Install]
WantedBy=default.target
"""


def systemd_unit(folders: Folders, command: Sequence[str], search_path: str) -> str:
    """Return a systemd user unit (systemd.service(5)) that runs `command`, with `search_path` as its PATH."""
    words = [_quoted(word).replace("$", "$$") for word in command]
    variables = {HOME_VARIABLE: str(folders.root), "PATH": search_path}
    return _UNIT_TEXT.format(
        home=str(folders.root).replace("%", "%%"),
        command=" ".join(words),
        environment=" ".join(_quoted(f"{name}={value}") for name, value in variables.items()),
        stop_seconds=STOP_SECONDS,
    )


def launchd_plist(folders: Folders, command: Sequence[str], search_path: str) -> bytes:
    """Return a launchd agent (launchd.plist(5)) that runs `command`, with `search_path` as its PATH."""
    return plistlib.dumps(
        {
            "Label": LABEL,
            "ProgramArguments": list(command),
            "EnvironmentVariables": {HOME_VARIABLE: str(folders.root), "PATH": search_path},
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "AbandonProcessGroup": True,
            "ExitTimeOut": STOP_SECONDS,
            "StandardErrorPath": str(folders.start_log),
        }
    )


def _quoted(word: str) -> str:
    """Return a word as systemd.syntax(7) reads it back: in quotes, with its escapes and specifiers made plain."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("\n", "\\n")
    return f'"{escaped}"'
