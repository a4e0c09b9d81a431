"""A real `systemd --user`, in process, mount and cgroup namespaces of its own: nobody else's processes or services are seen."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

SYSTEMD = Path("/lib/systemd/systemd")
# It wants to see that the computer was booted with systemd, a control group of its own, and a folder for its sockets.
_ENTER = """
set -e
mkdir -p "$1/groups"
mount -t cgroup2 none "$1/groups"
mkdir "$1/groups/$2"
echo $$ > "$1/groups/$2/cgroup.procs"
umount "$1/groups"
shift 2
exec unshare --pid --fork --mount-proc --cgroup --kill-child sh -c "$@"
"""
_INSIDE = """
set -e
mount -t cgroup2 none /sys/fs/cgroup
mount -t tmpfs -o mode=755 none /run
mkdir -p /run/systemd/system
mkdir -m 700 /run/user
export XDG_RUNTIME_DIR=/run/user
/lib/systemd/systemd --user --log-target=console > "$0" 2>&1 &
for _ in $(seq 600); do systemctl --user is-system-running > /dev/null 2>&1 && break; sleep 0.1; done
exec sh -e "$1"
"""
_LEAVE = 'mount -t cgroup2 none "$1/groups"; find "$1/groups/$2" -depth -type d -exec rmdir {} +'


def run_beside_it(script: str, folder: Path, variables: dict[str, str]) -> str:
    """Run a shell script whose `systemctl --user` reaches it; return what it prints. `folder` holds the files that it takes."""
    name = f"edgeloop-{os.getpid()}"
    (folder / "script").write_text(script)
    inside = [_INSIDE, str(folder / "systemd.log"), str(folder / "script")]
    try:
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", _ENTER, "enter", str(folder), name, *inside],
            env=variables,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=110,
        )
    finally:
        subprocess.run(["unshare", "--mount", "sh", "-c", _LEAVE, "leave", str(folder), name], check=True, timeout=30)
    log = (folder / "systemd.log").read_text() if (folder / "systemd.log").exists() else "systemd has not been started"
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{log[-3000:]}"
    return done.stdout
