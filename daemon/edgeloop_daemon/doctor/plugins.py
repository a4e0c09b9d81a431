"""The plugins that are left out."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

from edgeloop_daemon.doctor.finding import FailedPlugin, Finding, Subject, ok, problem
from edgeloop_daemon.doctor.helper import run_helper

_SECONDS = 60.0


def check_plugins(subject: Subject, environment: Mapping[str, str] = os.environ) -> Finding:
    """Tell which plugins failed to load: in the daemon or, while none runs, in a process of their own."""
    if subject.daemon is not None:
        failed = subject.daemon.failed_plugins
    else:
        listing, disabled = "edgeloop_daemon.doctor.plugin_listing", str(subject.folders.disabled_plugins)
        try:
            done = run_helper(listing, disabled, environment=environment, seconds=_SECONDS)
        except subprocess.TimeoutExpired:
            return problem(
                f"Loading the plugins takes more than {_SECONDS:.0f} s.",
                "One of them does work where it should only declare: `edgeloop up --foreground` names them in turn.",
            )
        try:
            failed = tuple(FailedPlugin(**item) for item in done.answer)
        except TypeError:
            return problem(f"The plugins cannot be loaded: {done.last_words}", "Uninstall the plugin that is named.")
    if failed:
        remedy = "Update or uninstall what is named; the rest works."
        if len(failed) == 1:
            return problem(f"Left out: {failed[0].name}: {failed[0].error.removesuffix('.')}.", remedy)
        return problem(
            f"Left out: {', '.join(plugin.name for plugin in failed)}.", f"`edgeloop plugins` tells why. {remedy}"
        )
    return ok("all are loaded")
