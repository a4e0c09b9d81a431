"""How soon the command line answers: `--help` and TAB against `python -c "import click"`, in processes that take turns.

Bytecode is cached for both, as it is once a package is installed and was used; so are the declarations of plugins. TAB runs what
bash runs for it; for ids of jobs and runs that asks a daemon, which runs here.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from figures import Figure, interleaved, keeping_bytecode, publish, ratio

from edgeloop_daemon.cli.client import Client
from edgeloop_daemon.cli.daemon_process import start_daemon, wait_until_stopped
from edgeloop_daemon.store.folders import Folders

ROUNDS = 20
RATIO_BAR = 2.0
BEST_BAR = 150.0  # ms, of the fastest round: on a busy machine the others tell about its other work
ASKING = "edgeloop logs TAB"  # asks the daemon
ASKING_RATIO_BAR, ASKING_BEST_BAR = 2.5, 200.0
HELP = {
    "edgeloop --help": ("--help",),
    "edgeloop run --help": ("run", "--help"),
    "edgeloop quantize --help": ("quantize", "--help"),
}
TAB = {"edgeloop qu TAB": ("qu",), "edgeloop check s TAB": ("check", "s"), ASKING: ("logs", "")}
SETTINGS = '[check.speed]\nmodel = "a.mnn"\n[check.size]\nmodel = "a.mnn"\n'


def timed(command: list[str], variables: Mapping[str, str], folder: str) -> Callable[[], float]:
    """Return a contestant: the milliseconds that a process takes from its start to its end."""

    def run() -> float:
        begin = time.perf_counter()
        subprocess.run(
            command, env=variables, cwd=folder, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        return (time.perf_counter() - begin) * 1000

    return run


def completing(words: tuple[str, ...]) -> dict[str, str]:
    """Return the variables with which bash has `edgeloop` complete the last of `words`."""
    typed = " ".join(("edgeloop", *words))
    return {"_EDGELOOP_COMPLETE": "bash_complete", "COMP_WORDS": typed, "COMP_CWORD": str(len(words))}


def measure() -> list[Figure]:
    """Return per command and per TAB its ratio to the import of click alone, and its milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        variables = keeping_bytecode(Path(folder) / "bytecode") | {"EDGELOOP_HOME": f"{folder}/home"}
        (Path(folder) / "edgeloop.toml").write_text(SETTINGS)
        script = str(Path(sys.executable).with_name("edgeloop"))
        contestants = {name: timed([script, *words], variables, folder) for name, words in HELP.items()}
        for name, words in TAB.items():
            contestants[name] = timed([script], variables | completing(words), folder)
        contestants["import click"] = timed([sys.executable, "-c", "import click"], variables, folder)
        contestants["python"] = timed([sys.executable, "-c", "pass"], variables, folder)
        client = Client(Folders(Path(folder) / "home"))
        start_daemon(client, ["--device-host", "127.0.0.1"])
        try:
            taken = interleaved(ROUNDS, contestants, warm_up=2)
        finally:
            client.post("/shutdown")
            wait_until_stopped(client.folders)
    figures = []
    measured = {"bare_python_ms": min(taken["python"]), "import_click_ms": min(taken["import click"])}
    for name in (*HELP, *TAB):
        most, best = (ASKING_RATIO_BAR, ASKING_BEST_BAR) if name == ASKING else (RATIO_BAR, BEST_BAR)
        figures.append(ratio(f"{name} / import click", most, taken[name], taken["import click"], unit="ms"))
        figures.append(Figure(f"{name}, best", min(taken[name]), best, unit="ms", measured=measured))
    return figures


if __name__ == "__main__":
    publish("startup", measure)
