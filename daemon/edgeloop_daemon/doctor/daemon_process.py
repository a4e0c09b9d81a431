"""The daemon's process and its local API."""

from __future__ import annotations

import http.client

from edgeloop_daemon.doctor.finding import Finding, Subject, ok, problem, warning
from edgeloop_shared import __version__, process_lock

_SECONDS = 5.0


def check_daemon(subject: Subject) -> Finding:
    """Tell whether the daemon runs, and is of the version that asks."""
    daemon = subject.daemon
    if daemon is None:
        if subject.silence or process_lock.is_held(subject.folders.lock):
            return problem(
                f"A daemon runs, but does not answer{': ' + subject.silence if subject.silence else '.'}",
                f"See {subject.folders.daemon_log}; if it hangs, end it: kill $(cat {subject.folders.lock})",
            )
        return ok("not running; commands start it when they need it")
    if daemon.version != __version__:
        return problem(
            f"The daemon is edgeloop {daemon.version}, the command line {__version__}.",
            "Start it anew: `edgeloop down`, then `edgeloop up`. Running jobs go on meanwhile.",
        )
    return ok(f"process {daemon.pid}, edgeloop {daemon.version}")


def check_local_api(subject: Subject) -> Finding:
    """Tell whether the local API answers, and refuses who has no token."""
    if subject.daemon is None:
        return ok("closed while no daemon runs")
    port = subject.daemon.api_port
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        connection.request("GET", "/api/v1/status")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return problem(
            f"127.0.0.1:{port} does not answer: {error}.",
            "Allow connections on loopback (a firewall?), or start the daemon anew.",
        )
    finally:
        connection.close()
    if status != 401:
        return warning(
            f"127.0.0.1:{port} answers {status} to a request without a token, where 401 is due.",
            "Another program may stand between: unset proxies, and start the daemon anew.",
        )
    return ok(f"http://127.0.0.1:{port}")
