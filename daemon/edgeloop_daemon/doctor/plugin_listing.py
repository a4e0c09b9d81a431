"""`python -m edgeloop_daemon.doctor.plugin_listing DISABLED`: load the plugins and print, as JSON, those that fail.

DISABLED is the file that names the disabled ones.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path

from edgeloop_daemon.disabled_plugins import DisabledPlugins
from edgeloop_daemon.plugins import installed_plugins, load_plugins


def main() -> None:
    """Print one line; what plugins print goes to stderr."""
    with contextlib.redirect_stdout(sys.stderr):
        listed = load_plugins(installed_plugins(), disabled=DisabledPlugins(Path(sys.argv[1]))).listed()
    failed = [{"name": plugin.name, "error": plugin.error} for plugin in listed if plugin.state == "failed"]
    sys.stdout.write(json.dumps(failed) + "\n")
    sys.stdout.flush()
    os._exit(0)  # threads that a plugin has left running must not keep the process


if __name__ == "__main__":
    main()
