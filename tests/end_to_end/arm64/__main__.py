"""The companion on ARM64: `python -m end_to_end.arm64`, with `tests` on the path of Python (`make test-arm64`).

The daemon runs on this computer, the headless companion under emulated ARM64: it pairs over TLS, runs the digits task of the
template in a worker of its own, and must give every held-out digit the class that this computer's own device gives it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from end_to_end.arm64.comparison import Scores, compare
from end_to_end.arm64.debian_root import debian_root
from end_to_end.arm64.emulation import Emulation, choose_emulation
from end_to_end.command_line import CommandLine
from end_to_end.waiting import until

from edgeloop_shared.errors import EdgeloopError, error_from_dict

MINUTES = 20  # most of which only a busy machine needs
PAIR_SECONDS = 180.0
RUN_SECONDS = 600.0
MODEL, HELD_OUT = "artifacts/latest/digits.mnn", "artifacts/latest/heldout.npz"
DEVICE = "emulated-arm64"
TIMED, TIMED_UNDER_EMULATION = "REPEATS = 200", "REPEATS = 5"  # a figure that means nothing here need not be exact


def main() -> int:
    """Return 0 when both devices give the same classes."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "edgeloop", "arm64")
    parser = argparse.ArgumentParser(prog="end_to_end.arm64", description=__doc__)
    parser.add_argument(
        "--cache", type=Path, default=cache, help="where the ARM64 system is kept (default: %(default)s)"
    )
    parser.add_argument("--explicit", action="store_true", help="call the emulator by name, whatever the kernel can do")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("An ARM64 system is made and entered as root: run `make test-arm64` as root.", file=sys.stderr)
        return 2
    signal.signal(signal.SIGALRM, _give_up)
    signal.signal(signal.SIGTERM, _give_up)
    signal.alarm(MINUTES * 60)
    begun = time.monotonic()
    _say(f"The companion on emulated ARM64; this ends within {MINUTES} minutes. {options.cache} keeps the system.")
    try:
        with tempfile.TemporaryDirectory(prefix="edgeloop-arm64-") as folder:
            is_same = prove(Path(folder), options.cache.resolve(), is_explicit=options.explicit)
    except EdgeloopError as error:
        print(f"\n{error.message}\n{error.hint}", file=sys.stderr)
        return 1
    except (AssertionError, subprocess.TimeoutExpired, KeyboardInterrupt) as error:  # of the commands, and of waiting
        print(f"\n{error or 'interrupted'}", file=sys.stderr)
        return 1
    _say(f"{'The same classes' if is_same else 'NOT the same classes'}; {time.monotonic() - begun:.0f} s.")
    return 0 if is_same else 1


def prove(folder: Path, cache: Path, *, is_explicit: bool) -> bool:
    """Run the digits task on this computer and on emulated ARM64; return whether all classes are the same."""
    with ExitStack() as stack:
        system = stack.enter_context(debian_root(cache, lambda what: _say(f"   {what} (once)")))
        state = folder / "state"
        state.mkdir()
        with _step("start Python of ARM64, and a child of it"):
            emulation = choose_emulation(system, state, is_explicit=is_explicit)
        _say(f"   Python {system.python}; {emulation}")
        line = stack.enter_context(_daemon(folder))
        with _step("train the digits model of the template on this computer"):
            line.run("init", "digits", "--template", "digits-mnn")
            project = line.within(folder / "digits")
            script = project.folder / "evaluate.py"
            script.write_text(script.read_text().replace(TIMED, TIMED_UNDER_EMULATION))
            project.run("train", timeout=RUN_SECONDS)
        with _step("run it on this computer's own virtual device"):
            here = line.json("device", "virtual", "--allow")[0]
            expected, _ = _run(project, here)
        with _step("pair the companion on ARM64 over TLS, and wait for its link"):
            there = stack.enter_context(_companion(line, emulation, state))
        _say(f"   {there['info']['system']}, {there['info']['processor']}, MNN {there['info']['mnn_version']}")
        with _step("run the same task there, in a worker process of its own"):
            scores, result = _run(project, there)
    found = compare(expected, scores)
    _say(
        f"   {found.samples} digits, {len(found.other_classes)} with another class; accuracy {result['accuracy']:.1%}\n"
        f"   cosine of the scores >= {found.lowest_cosine:.9f}, difference <= {found.largest_difference:.2e}\n"
        f"   p50 {result['p50_ms']:.1f} ms under emulation, which says nothing about a phone"
    )
    return found.is_same


@contextmanager
def _daemon(folder: Path) -> Iterator[CommandLine]:
    line = CommandLine(folder / "home", folder)
    with _step("start a daemon"):
        line.run("up", "--device-host", "127.0.0.1")
    try:
        yield line
    finally:
        line.run("down", "--stop-jobs")


@contextmanager
def _companion(line: CommandLine, emulation: Emulation, state: Path) -> Iterator[dict[str, Any]]:
    """Run a companion on ARM64 for the block, paired with the daemon of `line`; yield the device once it is linked."""
    offer = state / "offer"
    offer.touch(mode=0o600)
    offer.write_text(line.api("/pairing", {})["offer"])
    module = ("-P", "-m", "edgeloop_companion", "--state", "/edgeloop/state/companion", "--name", DEVICE)
    arguments = (*module, "--virtual", "--allow", "--pair-offer-file", "/edgeloop/state/offer")
    with (
        (state / "events").open("wb") as output,
        (state / "log").open("wb") as errors,
        emulation.python(*arguments, output=output, errors=errors) as process,
    ):

        def linked() -> dict[str, Any] | None:
            _raise_failure(state)
            if process.poll() is not None:
                raise EdgeloopError(f"The companion on ARM64 has ended.\n{(state / 'log').read_text()}")
            found = [device for device in line.json("devices") if device["info"]["name"] == DEVICE]
            return found[0] if found and found[0]["is_linked"] else None

        yield until(linked, "the companion on ARM64 is linked", PAIR_SECONDS)


def _raise_failure(state: Path) -> None:
    for text in (state / "events").read_text().splitlines(keepends=True):
        if text.endswith("\n") and (event := json.loads(text))["event"] == "failed":
            raise error_from_dict(event["error"])


def _run(project: CommandLine, device: dict[str, Any]) -> tuple[Scores, dict[str, Any]]:
    """Run the template's own script on a device; return its scores of the held-out digits, float32 `[n, 10]`, and its result."""
    output = project.folder / device["id"]
    run = project.json(
        *("run", "--device", device["id"], "--output", str(output), "evaluate.py", MODEL, HELD_OUT), timeout=RUN_SECONDS
    )
    with np.load(output / "predictions.npz") as predictions:
        scores: Scores = predictions["scores"]
    result: dict[str, Any] = run["result"]
    return scores, result


@contextmanager
def _step(title: str) -> Iterator[None]:
    print(f"   {title} ...", end="", flush=True)
    begun = time.monotonic()
    yield
    print(f" {time.monotonic() - begun:.1f} s", flush=True)


def _say(text: str) -> None:
    print(text, flush=True)


def _give_up(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # once: what is tidied up now must come to its end
    raise EdgeloopError(f"not done within {MINUTES} minutes" if number == signal.SIGALRM else "asked to stop")


if __name__ == "__main__":
    sys.exit(main())
