"""The daemon as a process: its command line, its log and its exit status."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

from edgeloop import trial
from edgeloop_daemon.app import Options, run_daemon
from edgeloop_daemon.disabled_plugins import DisabledPlugins
from edgeloop_daemon.log_file import LogFile
from edgeloop_daemon.passed_trials import PassedTrials
from edgeloop_daemon.plugin_output import named_output
from edgeloop_daemon.plugins import installed_plugins, load_plugins
from edgeloop_daemon.store.folders import Folders
from edgeloop_shared import event_loop
from edgeloop_shared.bounded_output import bounded_output
from edgeloop_shared.errors import EdgeloopError


def main() -> None:
    """Run the daemon until a signal; an error of ours is one paragraph and exit status 1."""
    arguments = _parser().parse_args()
    folders = Folders(arguments.home.absolute()) if arguments.home else Folders.of_user()
    try:
        folders.create()
    except EdgeloopError as error:  # nowhere to log to
        sys.exit(str(error))
    _log_to(folders)
    with bounded_output(folders.start_log), named_output():
        status = _run(arguments, folders)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # Everything is stopped and closed. Threads that a plugin has left running must not keep the process.
    os._exit(status)


def _run(arguments: argparse.Namespace, folders: Folders) -> int:
    has_mdns = os.environ.get("EDGELOOP_MDNS", "").lower() not in ("0", "off", "no")
    options = Options(arguments.port, arguments.device_host, arguments.device_port, arguments.plugin_seconds, has_mdns)
    try:
        if arguments.write_declarations:
            disabled = DisabledPlugins(folders.disabled_plugins)
            passed = PassedTrials(folders.passed_trials)
            plugins = load_plugins(
                installed_plugins(), disabled=disabled, passed=passed, seconds=options.plugin_seconds
            )
            plugins.write_declarations(folders.declarations)
        else:
            event_loop.run(run_daemon(folders, options))
    except EdgeloopError as error:
        logging.getLogger(__name__).error("%s", error)
        return 1
    except BaseException:
        logging.getLogger(__name__).exception("The daemon has failed")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m edgeloop_daemon", description=__doc__)
    parser.add_argument("--home", type=Path, help="the state folder; the user's by default")
    parser.add_argument("--port", type=int, default=0, help="port of the local API; 0: any free one")
    parser.add_argument("--device-host", help="address that the device port binds; all interfaces by default")
    parser.add_argument("--device-port", type=int, help="port that phones dial; a remembered one by default")
    parser.add_argument(
        "--plugin-seconds", type=float, default=trial.SECONDS, help="time that loading a plugin may take"
    )
    parser.add_argument("--write-declarations", action="store_true", help="write what plugins declare, and end")
    return parser


def _log_to(folders: Folders) -> None:
    """Log to a rotating file, and to stderr, which is a terminal or `start.log`."""
    console = logging.StreamHandler()
    console.setLevel(logging.INFO if sys.stderr.isatty() else logging.ERROR)
    console.setFormatter(logging.Formatter("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[LogFile(folders.daemon_log), console])
