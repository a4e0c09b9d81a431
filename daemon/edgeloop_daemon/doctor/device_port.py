"""The port that phones dial."""

from __future__ import annotations

import errno
import socket

from edgeloop_daemon.doctor.finding import Finding, NotCheckedError, Subject, amount, ok, problem, warning
from edgeloop_daemon.doctor.stored import devices, remembered_port

_SECONDS = 2.0


def check_device_port(subject: Subject) -> Finding:
    """Tell whether phones can reach it, or will once the daemon runs."""
    database = subject.folders.database
    try:
        paired, remembered = len(devices(database)), remembered_port(database)
    except NotCheckedError:
        paired, remembered = 0, None
    if subject.daemon is None:
        return _without_daemon(remembered)
    port = subject.daemon.device_port
    if port is None:
        if paired:
            return problem(
                f"{amount(paired, 'device')} may dial, but the port is closed.", "`edgeloop down`, then `edgeloop up`."
            )
        return ok("closed: no device is paired")
    addresses = subject.daemon.device_addresses
    deaf = [address for address in addresses if not _answers(address, port)]
    if deaf:
        return problem(
            f"Port {port} does not answer at {', '.join(deaf)}, which phones are told to dial.",
            "Open it in the firewall, or bind one address: `edgeloop up --device-host ADDRESS`.",
        )
    if all(address.startswith("127.") for address in addresses):
        return warning(
            f"Port {port} is open on this computer alone: no phone can reach it.",
            "Join the phone's network; or, if it was meant so, leave it: virtual devices can.",
        )
    return ok(f"{port}, open at {', '.join(addresses)}")


def _without_daemon(port: int | None) -> Finding:
    if port is None:
        return ok("none is remembered: no device was ever paired")
    try:
        with socket.socket() as probe:
            # As the daemon binds it: what lingers of closed connections is not in its way.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("", port))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return problem(
            f"Another program uses port {port}, which paired phones dial.",
            f"End that program (see `ss -ltnp sport = :{port}`) before `edgeloop up`, or pair the phones again.",
        )
    return ok(f"{port} is free for the next daemon")


def _answers(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=_SECONDS):
            return True
    except OSError:
        return False
