"""The state folder and the files in it that are neither the database nor blobs."""

from __future__ import annotations

import json
import os
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path

from edgeloop_daemon.doctor.finding import Finding, named, ok, problem, warning
from edgeloop_daemon.store.folders import Folders

MOUNTS = Path("/proc/self/mounts")
_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "fuse.sshfs", "drvfs"})


def check_state_folder(folders: Folders, mounts: Path = MOUNTS) -> Finding:
    """Tell whether it is this user's alone, and on a file system whose locks can be relied on."""
    root = folders.root
    try:
        found = root.stat()
    except FileNotFoundError:
        return ok(f"{root} is made by the first command that needs the daemon")
    if not stat.S_ISDIR(found.st_mode):
        return problem(f"{root} is not a folder.", "Move it away, or name another place with EDGELOOP_HOME.")
    if found.st_uid != os.getuid():
        return problem(
            f"{root} belongs to another user (id {found.st_uid}).",
            f"Use edgeloop as that user, or take it over: chown -R {os.getuid()} {root}",
        )
    if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        return problem(f"{root} cannot be written.", f"Allow it: chmod 700 {root} (is its disk mounted read-only?)")
    if found.st_mode & 0o077:
        return problem(f"Other users may look into {root}, where tokens and keys lie.", f"chmod 700 {root}")
    if (kind := _file_system(root, mounts)) in _NETWORK:
        return warning(
            f"{root} lies on a network file system ({kind}): the database and the locks are not safe there.",
            "Move it to a local disk, and name that place with EDGELOOP_HOME.",
        )
    return ok(f"{root}, this user's alone")


def check_state_files(folders: Folders) -> Finding:
    """Tell which files cannot be read as what they are: half-written ones, or two that do not belong together."""
    if not folders.root.exists():
        return ok("none yet")
    damaged = [str(path.relative_to(folders.root)) for path in _json_files(folders) if not _is_json(path)]
    if damaged:
        return problem(
            f"Damaged: {named(damaged)}.",
            "Stop the daemon (`edgeloop down`) and remove them; a job or virtual device among them is lost.",
        )
    certificate, key = folders.certificate, folders.certificate_key
    if certificate.exists() or key.exists():
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            return problem(
                f"The device port's certificate and key cannot be used ({error}).",
                f"Remove {certificate.name} and {key.name} there, start the daemon, and pair every device again.",
            )
        if key.stat().st_mode & 0o077:
            return problem(f"Other users may read {key.name}.", f"chmod 600 {key}")
    return ok("whole")


def _json_files(folders: Folders) -> Iterator[Path]:
    # `runtime.json` and the declarations are written anew at every start, but a daemon that runs has written them whole.
    yield from (path for path in (folders.runtime, folders.declarations) if path.exists())
    for name in ("spec.json", "status.json", "outcome.json"):
        yield from sorted(folders.jobs.glob(f"*/{name}"))
    yield from sorted(folders.virtual_devices.glob("*/pairings.json"))


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except FileNotFoundError:  # it was removed meanwhile
        return True
    except ValueError:
        return False
    return True


def _file_system(folder: Path, mounts: Path) -> str:
    """Return the type of the file system that holds `folder`, or nothing where the system does not tell."""
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    place, kind = folder.resolve(), ""
    length = -1
    for line in lines:
        _, point, type_, *_ = line.split(" ")
        mounted = Path(point.replace("\\040", " "))
        # A later line covers an earlier one of the same place.
        if place.is_relative_to(mounted) and len(mounted.parts) >= length:
            length, kind = len(mounted.parts), type_
    return kind
