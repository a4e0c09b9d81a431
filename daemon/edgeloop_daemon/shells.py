"""The shells that can complete `edgeloop` commands, and where each of them looks for what completes one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

NAMES = ("bash", "zsh", "fish")


@dataclass(frozen=True)
class Shell:
    """A shell of one user. `script` is where its completion is installed; `further` is what it then still needs, if anything."""

    name: str
    script: Path
    further: str


def shell_called(name: str, variables: Mapping[str, str]) -> Shell:
    """Return the shell with one of `NAMES`, for the user of these environment variables. Raises `KeyError` for another name."""
    home = Path(variables.get("HOME") or Path.home())
    data = Path(variables.get("XDG_DATA_HOME") or home / ".local/share")
    config = Path(variables.get("XDG_CONFIG_HOME") or home / ".config")
    bash = Path(variables.get("BASH_COMPLETION_USER_DIR") or data / "bash-completion") / "completions/edgeloop"
    zsh = data / "zsh/site-functions/_edgeloop"
    shells = (
        Shell("bash", bash, f"Without the package bash-completion, add this line to ~/.bashrc: . {bash}"),
        Shell("zsh", zsh, f"Add this line to ~/.zshrc, before `compinit`: fpath=({zsh.parent} $fpath)"),
        Shell("fish", config / "fish/completions/edgeloop.fish", ""),
    )
    return {shell.name: shell for shell in shells}[name]


def login_shell(variables: Mapping[str, str]) -> str:
    """Return the name of the user's shell as `SHELL` tells it, or nothing if it is none of `NAMES`."""
    name = Path(variables.get("SHELL", "")).name
    return name if name in NAMES else ""
