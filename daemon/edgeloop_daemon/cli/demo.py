"""The demo's steps. Each is a call of the public API, as any editor could make it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from edgeloop_daemon.cli.client import Client, Record
from edgeloop_daemon.cli.daemon_process import start_daemon, wait_until_stopped
from edgeloop_daemon.cli.demo_result import CurvePoint, DemoResult, Latency, OperatorTime, Training, Variant
from edgeloop_daemon.cli.device_commands import start_virtual_device
from edgeloop_daemon.cli.following import follow_job, follow_run, follow_tool
from edgeloop_daemon.cli.report import report_page
from edgeloop_daemon.cli.virtual_devices import VirtualDevice, stop_virtual_devices
from edgeloop_daemon.store.folders import Folders
from edgeloop_shared.errors import ConflictError, JobFailedError
from edgeloop_shared.significance import accuracy_difference, latency_difference

TEMPLATE = "digits-mnn"
ROUNDS = 5  # of latency, interleaved over the variants, so that a slow moment hits all of them
RUNS = 250
REFERENCE = "fp32"
HELD_OUT = "artifacts/latest/heldout.npz"
_HOME = ".home"


@dataclass(frozen=True)
class Recipe:
    """How a variant is made from the trained model; `parameters` are those of the tool `quantize`."""

    name: str
    description: str
    parameters: Mapping[str, Any] | None


RECIPES = (
    Recipe(REFERENCE, "as trained", None),
    Recipe("fp16", "16-bit floats", {"fp16": True}),
    Recipe("int8", "8 bits, a scale per channel", {"bits": 8}),
    Recipe("int4", "4 bits, a scale per channel", {"bits": 4}),
    Recipe(
        "int4-block", "4 bits, asymmetric, a scale per 32 input channels", {"bits": 4, "asymmetric": True, "block": 32}
    ),
)


def run_demo(folder: Path) -> DemoResult:
    """Go through the whole loop in `folder` and return what was found. Raises the first step's error."""
    begin = time.monotonic()
    _prepare(folder)
    with _own_daemon(Folders(folder / _HOME)) as client:
        steps = _Steps(client, folder)
        workspace = steps.create_workspace()
        job = steps.train(workspace)
        models = steps.shrink(workspace)
        device = steps.pair_device()
        host = steps.reference(workspace, models[REFERENCE])
        evaluated = steps.evaluate(workspace, device, models)
        measured = steps.bench(workspace, device, models)
        trace = steps.export_trace(evaluated[REFERENCE])
        traces = {
            name: client.items(f"/runs/{run['id']}/trace/operators", limit=1000) for name, run in evaluated.items()
        }
        curve = client.items(f"/jobs/{job['id']}/metrics")
    variants = _variants(models, evaluated, measured, traces, host)
    result = DemoResult(
        variants=variants,
        device=device["info"],
        train=_training(job, curve),
        samples=int(host["samples"]),
        seconds=time.monotonic() - begin,
        report=str(folder / "report.html"),
        trace=str(trace),
    )
    Path(result.report).write_text(report_page(result), encoding="utf-8")
    return result


class _Steps:
    """The loop's steps, each announced on stderr."""

    def __init__(self, client: Client, folder: Path) -> None:
        self._client = client
        self._folder = folder

    def create_workspace(self) -> Record:
        with _step("create a workspace from the template digits-mnn"):
            path = str(self._folder / "workspace")
            return self._client.post("/workspaces/new", {"path": path, "template": TEMPLATE, "name": "digits"})

    def train(self, workspace: Record) -> Record:
        with _step("train on real digits, with MNN"):
            job = self._client.start(f"/workspaces/{workspace['id']}/train", {"backend": None, "parameters": {}})
            return follow_job(self._client, job, "  train", show_log=False)

    def shrink(self, workspace: Record) -> dict[str, Path]:
        """Make all variants at once; return every variant's file."""
        root = Path(workspace["path"])
        source = (root / "artifacts" / "latest" / "digits.mnn").resolve()
        models = {recipe.name: root / "models" / f"digits-{recipe.name}.mnn" for recipe in RECIPES}
        models[REFERENCE].parent.mkdir(exist_ok=True)
        shutil.copyfile(source, models[REFERENCE])
        with _step(f"shrink the model into {len(RECIPES) - 1} variants"):
            jobs = [
                self._client.start(
                    f"/workspaces/{workspace['id']}/tools/quantize",
                    {"model": str(source), "output": str(models[recipe.name]), **recipe.parameters},
                )
                for recipe in RECIPES
                if recipe.parameters is not None
            ]
            for job in jobs:
                follow_job(self._client, job, "  quantize", show_log=False)
        return models

    def pair_device(self) -> Record:
        with _step("start a virtual device and pair it over TLS"):
            return start_virtual_device(self._client, VirtualDevice(self._client.folders, "virtual"))[0]

    def reference(self, workspace: Record, model: Path) -> Record:
        """Run the very script of the device with plain Python, without any device: the host's own answers."""
        with _step("run the reference on this computer with plain python"):
            command = [sys.executable, "evaluate.py", _relative(workspace, model)]
            done = subprocess.run(
                command, cwd=workspace["path"], capture_output=True, text=True, timeout=300, check=False
            )
            if done.returncode != 0:
                raise JobFailedError(
                    f"evaluate.py ended with status {done.returncode} on this computer.",
                    details={"native_output": done.stderr.splitlines()[-20:]},
                )
            return _reported(done.stdout)

    def evaluate(self, workspace: Record, device: Record, models: Mapping[str, Path]) -> dict[str, Record]:
        """Run every variant on the device over all held-out digits, traced; return the ended runs."""
        runs: dict[str, Record] = {}
        with _step(f"run {len(models)} variants on the device"):
            for name, model in models.items():
                body = {
                    "script": "evaluate.py",
                    "arguments": [_relative(workspace, model)],
                    "device": device["id"],
                    "include": [],
                    "trace": True,
                }
                run = self._client.start(f"/workspaces/{workspace['id']}/runs", body)
                runs[name] = follow_run(self._client, run, f"  {name}", show_log=False)
        return runs

    def bench(self, workspace: Record, device: Record, models: Mapping[str, Path]) -> dict[str, Record]:
        """Measure how fast the variants are, in interleaved rounds; return each one's measurement."""
        paths = {name: _relative(workspace, model) for name, model in models.items()}
        with _step(f"measure the latency of {len(models)} variants, {ROUNDS} rounds each"):
            body = {
                "models": list(paths.values()),
                "inputs": HELD_OUT,
                "device": device["id"],
                "rounds": ROUNDS,
                "runs": RUNS,
            }
            run = self._client.start(f"/workspaces/{workspace['id']}/bench", body)
            found = self._client.get(f"/runs/{follow_tool(self._client, run, '  bench')['id']}/bench")
        measured = {one["cell"]["model"]: one["measurement"] for one in found["cells"]}
        return {name: measured[path] for name, path in paths.items()}

    def export_trace(self, run: Record) -> Path:
        target = self._folder / "trace.json"
        self._client.download_to(f"/runs/{run['id']}/trace", target)
        return target


def _prepare(folder: Path) -> None:
    """Make `folder` fresh; what is in it goes only if an earlier demo wrote it."""
    home = Folders(folder / _HOME)
    if home.root.is_dir():
        stop_virtual_devices(home)
        _stop_daemon(Client(home))
        shutil.rmtree(folder)
    elif folder.exists() and any(folder.iterdir()):
        raise ConflictError(
            f"{folder} exists, and no earlier demo made it.",
            hint="Name another folder: `edgeloop demo --output FOLDER`.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n")


@contextmanager
def _own_daemon(folders: Folders) -> Iterator[Client]:
    """Run a daemon of the demo's own, on loopback alone, and end all that it started."""
    client = Client(folders)
    try:
        with _step("start a daemon"):
            start_daemon(client, ("--device-host", "127.0.0.1"))
        yield client
    finally:
        stop_virtual_devices(folders)
        _stop_daemon(client)


def _stop_daemon(client: Client) -> None:
    if client.is_running():
        client.post("/shutdown", {"stop_jobs": True})
        wait_until_stopped(client.folders)


@contextmanager
def _step(title: str) -> Iterator[None]:
    """Announce a step, and say how long it took."""
    begin = time.monotonic()
    yield
    click.echo(f"{click.style('ok', fg='green')} {title} ({time.monotonic() - begin:.1f} s)", err=True)


def _relative(workspace: Record, path: Path) -> str:
    return path.relative_to(Path(workspace["path"])).as_posix()


def _reported(output: str) -> Record:
    """Merge the values that a script reported on its standard output as lines of JSON."""
    merged: Record = {}
    for line in output.splitlines():
        if line.startswith("{"):
            merged |= json.loads(line)
    return merged


def _training(job: Record, metrics: Sequence[Record]) -> Training:
    steps: dict[int, dict[str, float]] = defaultdict(dict)
    for point in metrics:
        steps[point["step"]][point["tag"]] = point["value"]
    return Training(
        seconds=job["result"]["seconds"],
        accuracy=job["result"]["metrics"]["heldout_accuracy"],
        commit=job["result"]["commit"],
        curve=tuple(CurvePoint(step, values) for step, values in sorted(steps.items())),
    )


def _variants(
    models: Mapping[str, Path],
    evaluated: Mapping[str, Record],
    measured: Mapping[str, Record],
    traces: Mapping[str, Sequence[Record]],
    host: Record,
) -> tuple[Variant, ...]:
    found = []
    for recipe in RECIPES:
        result, measurement = evaluated[recipe.name]["result"], measured[recipe.name]
        agreed = [mine == theirs for mine, theirs in zip(result["predictions"], host["predictions"], strict=True)]
        is_reference = recipe.name == REFERENCE
        found.append(
            Variant(
                name=recipe.name,
                description=recipe.description,
                bytes=models[recipe.name].stat().st_size,
                accuracy=result["accuracy"],
                agreement=sum(agreed) / len(agreed),
                latency_ms=Latency(measurement["p50_ms"], measurement["p90_ms"]),
                session_memory_bytes=result["session_memory_bytes"],
                peak_memory_bytes=result["peak_memory_bytes"],
                deciles_ms=tuple(measurement["deciles_ms"]),
                rounds_p50_ms=_rounds(measurement),
                operators=_operators(traces[recipe.name]),
                accuracy_difference=None
                if is_reference
                else accuracy_difference(_correct(evaluated[recipe.name]), _correct(evaluated[REFERENCE])),
                latency_difference=None
                if is_reference
                else latency_difference(_rounds(measurement), _rounds(measured[REFERENCE])),
            )
        )
    return tuple(found)


def _rounds(measurement: Record) -> tuple[float, ...]:
    return tuple(one["p50_ms"] for one in measurement["rounds"])


def _correct(run: Record) -> list[bool]:
    result = run["result"]
    return [guess == label for guess, label in zip(result["predictions"], result["labels"], strict=True)]


def _operators(trace: Sequence[Record]) -> tuple[OperatorTime, ...]:
    """Return every operator of a trace with its mean time."""
    return tuple(OperatorTime(one["name"], one["type"], one["mean_ms"] * 1e3) for one in trace)
