"""How soon the command line answers: `--help` against `python -c "import click"`, in processes that take turns.

Bytecode is cached for both, as it is once a package is installed and was used; so are the declarations of plugins.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from figures import Figure, interleaved, publish, ratio

ROUNDS = 20
RATIO_BAR = 2.0
HELP_BAR = 150.0  # ms, of the fastest round: on a busy machine the others tell about its other work
COMMANDS = {
    "edgeloop --help": ("--help",),
    "edgeloop run --help": ("run", "--help"),
    "edgeloop quantize --help": ("quantize", "--help"),
}


def timed(command: list[str], variables: dict[str, str]) -> Callable[[], float]:
    """Return a contestant: the milliseconds that a process takes from its start to its end."""

    def run() -> float:
        begin = time.perf_counter()
        subprocess.run(command, env=variables, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        return (time.perf_counter() - begin) * 1000

    return run


def measure() -> list[Figure]:
    """Return per command its ratio to the import of click alone, and its milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        variables |= {"EDGELOOP_HOME": f"{folder}/home", "PYTHONPYCACHEPREFIX": f"{folder}/bytecode"}
        script = str(Path(sys.executable).with_name("edgeloop"))
        contestants = {name: timed([script, *words], variables) for name, words in COMMANDS.items()}
        contestants["import click"] = timed([sys.executable, "-c", "import click"], variables)
        contestants["python"] = timed([sys.executable, "-c", "pass"], variables)
        taken = interleaved(ROUNDS, contestants, warm_up=2)
    figures = []
    for name in COMMANDS:
        figures.append(ratio(f"{name} / import click", RATIO_BAR, taken[name], taken["import click"], unit="ms"))
        measured = {"bare_python_ms": min(taken["python"]), "import_click_ms": min(taken["import click"])}
        figures.append(Figure(f"{name}, best", min(taken[name]), HELP_BAR, unit="ms", measured=measured))
    return figures


if __name__ == "__main__":
    publish("startup", measure)
