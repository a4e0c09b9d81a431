"""Tab completion in the user's shell."""

from __future__ import annotations

import os
from collections.abc import Mapping

from edgeloop_daemon.doctor.finding import Finding, ok
from edgeloop_daemon.shells import login_shell, shell_called


def check_completion(variables: Mapping[str, str] = os.environ) -> Finding:
    """Tell whether the completion is installed for the user's shell. Only a convenience: never more than a remark."""
    name = login_shell(variables)
    if not name:
        return ok("SHELL names no shell that it is made for (bash, zsh, fish)")
    script = shell_called(name, variables).script
    if script.exists():
        return ok(f"installed for {name}: {script}")
    return ok(
        f"not installed for {name}", f"`edgeloop completion {name} --install` makes TAB complete commands and ids."
    )
