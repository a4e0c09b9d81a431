"""`edgeloop bench`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from edgeloop_daemon.cli import completers
from edgeloop_daemon.cli.bench_table import print_bench
from edgeloop_daemon.cli.device_condition import condition
from edgeloop_daemon.cli.following import follow_tool
from edgeloop_daemon.cli.named import chosen_device, device_option
from edgeloop_daemon.cli.output import print_json
from edgeloop_daemon.cli.session import Session, json_option
from edgeloop_daemon.cli.workspace_files import workspace_path
from edgeloop_shared.benchmarks import MAX_ROUNDS, MAX_RUNS, MAX_THREADS, BenchResult
from edgeloop_shared.codec import decode
from edgeloop_shared.errors import InvalidInputError

BACKENDS = ("cpu", "opencl", "vulkan", "metal", "cuda", "nn")
PRECISIONS = ("normal", "low", "high")


@click.command()
@click.argument(
    "models",
    metavar="MODEL...",
    nargs=-1,
    required=True,
    type=click.Path(),
    shell_complete=completers.files(completers.MODELS),
)
@device_option
@click.option(
    "--inputs",
    "--input",
    type=click.Path(),
    shell_complete=completers.files(completers.ARRAYS),
    help="An .npz with an array per input name, or an .npy; its first sample is taken (default: random numbers).",
)
@click.option("--backend", "-b", multiple=True, type=click.Choice(BACKENDS), help="Backends to measure (default: cpu).")
@click.option(
    "--precision", "-p", multiple=True, type=click.Choice(PRECISIONS), help="Precisions to measure (default: normal)."
)
@click.option(
    "--threads", "-t", multiple=True, type=click.IntRange(1, MAX_THREADS), help="Numbers of threads (default: 1)."
)
@click.option("--matrix", is_flag=True, help="All backends, precisions normal and low, 1, 2 and 4 threads.")
@click.option(
    "--reference",
    type=click.Path(),
    shell_complete=completers.files(completers.MODELS),
    help="The model whose fp32 outputs the others are compared with (default: the first MODEL).",
)
@click.option(
    "--runs", type=click.IntRange(1, MAX_RUNS), default=100, show_default=True, help="Timed runs, over all rounds."
)
@click.option("--rounds", type=click.IntRange(1, MAX_ROUNDS), default=5, show_default=True, help="Interleaved rounds.")
@click.option(
    "--inside",
    metavar="'SCRIPT ARGUMENTS'",
    shell_complete=completers.files(completers.SCRIPTS),
    help="Run this script as well, and compare its own runs of the first MODEL with the same model alone.",
)
@json_option
@click.pass_obj
def bench(
    session: Session,
    models: tuple[str, ...],
    device: str | None,
    inputs: str | None,
    backend: tuple[str, ...],
    precision: tuple[str, ...],
    threads: tuple[int, ...],
    matrix: bool,
    reference: str | None,
    runs: int,
    rounds: int,
    inside: str | None,
) -> None:
    """Measure how fast MODELs are on a device, honestly.

    Every combination of model, backend, precision and threads is loaded anew in each of several interleaved rounds, warmed up
    until its times are stable, and timed. Outputs are compared with fp32. What the device cannot run is said, not measured.
    """
    workspace = session.workspace()
    client = session.daemon()
    root = Path(workspace["path"])

    def inside_workspace(path: str | None) -> str | None:
        return None if path is None else workspace_path(root, session.folder / path)

    script, *arguments = _split(inside)
    body = {
        "models": [inside_workspace(model) for model in models],
        "reference": inside_workspace(reference),
        "inputs": inside_workspace(inputs),
        "backends": list(backend) or (list(BACKENDS) if matrix else ["cpu"]),
        "precisions": list(precision) or (["normal", "low"] if matrix else ["normal"]),
        "threads": list(threads) or ([1, 2, 4] if matrix else [1]),
        "rounds": rounds,
        "runs": runs,
        "inside": inside_workspace(script),
        "inside_arguments": arguments,
        "device": chosen_device(client, device),
    }
    run = follow_tool(client, client.start(f"/workspaces/{workspace['id']}/bench", body), "bench")
    found = client.get(f"/runs/{run['id']}/bench")
    if session.as_json:
        print_json({"run": run["id"], "device": run["device"], **found})
    else:
        (record,) = (one for one in client.items("/devices") if one["id"] == run["device"])
        print_bench(decode(BenchResult, found), record["info"], run["id"], condition(record["state"]))


def _split(inside: str | None) -> list[str | None]:
    """Return a script and its arguments; nothing but None when there is none."""
    if inside is None:
        return [None]
    try:
        words: list[str | None] = [*shlex.split(inside)]
    except ValueError as error:
        raise InvalidInputError(f"--inside {inside!r}: {error}.", hint="Close every quotation.") from None
    if not words:
        raise InvalidInputError("--inside names no script.", hint="Say --inside 'evaluate.py models/digits.mnn', say.")
    return words
