"""Baselines: latencies of a workspace's models by device, in a file that is made for committing."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgeloop_daemon.store.files import write_atomically
from edgeloop_shared.benchmarks import MAX_ROUNDS, Cell
from edgeloop_shared.codec import decode_json, encode
from edgeloop_shared.errors import InvalidInputError, MessageError
from edgeloop_shared.models import DeviceInfo

BASELINES_FILE = "edgeloop-baselines.json"
MAX_BYTES = 4 * 1024**2
VERSION = 1


@dataclass(frozen=True)
class Baseline:
    """A latency in milliseconds: the median of the interleaved rounds, and those rounds. `measured_on` is a day in UTC."""

    p50_ms: float = field(metadata={"gt": 0})
    rounds_p50_ms: tuple[float, ...] = field(metadata={"min_length": 1, "max_length": MAX_ROUNDS})
    measured_on: str
    mnn_version: str


@dataclass(frozen=True)
class DeviceBaselines:
    """The baselines of one device by model variant. The rest says what it was when they were measured."""

    name: str
    platform: str
    processor: str
    cores: int
    latencies: Mapping[str, Baseline] = field(default_factory=dict)

    def is_of(self, info: DeviceInfo) -> bool:
        """Whether the device still has the hardware that was measured: a virtual one may have moved to another computer."""
        return (self.platform, self.processor, self.cores) == (info.platform, info.processor, info.cores)


@dataclass(frozen=True)
class Baselines:
    """The file. `devices` are by the ids that this computer's daemon gave them."""

    version: int = field(default=VERSION, metadata={"ge": VERSION, "le": VERSION})
    devices: Mapping[str, DeviceBaselines] = field(default_factory=dict)

    def find(self, device: str, info: DeviceInfo, cell: Cell) -> tuple[Baseline | None, str]:
        """Return the baseline of a model on a device, or None and why there is none. Another device's is never taken."""
        known = self.devices.get(device)
        if known is None:
            others = f"; the file has those of {len(self.devices)} other devices" if self.devices else ""
            return None, f"no baseline of this device{others}"
        if not known.is_of(info):
            return None, f"the baseline is of a {known.processor} with {known.cores} cores, which this is not"
        found = known.latencies.get(str(cell))
        return found, "" if found else "no baseline of this model on this device"

    def updated(self, device: str, info: DeviceInfo, measured: Mapping[Cell, tuple[float, ...]]) -> Baselines:
        """Return the baselines with new ones of a device; those that it had on other hardware go."""
        today = time.strftime("%Y-%m-%d", time.gmtime())
        known = self.devices.get(device)
        kept = known.latencies if known is not None and known.is_of(info) else {}
        new = {
            str(cell): Baseline(statistics.median(rounds), rounds, today, info.mnn_version)
            for cell, rounds in measured.items()
        }
        entry = DeviceBaselines(info.name, info.platform, info.processor, info.cores, {**kept, **new})
        return replace(self, devices={**self.devices, device: entry})


def read_baselines(root: Path) -> Baselines:
    """Return the baselines of the workspace at `root`; none if it has no file. Raises `InvalidInputError` for a broken one."""
    path = root / BASELINES_FILE
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        return decode_json(Baselines, content, max_bytes=MAX_BYTES)
    except FileNotFoundError:
        return Baselines()
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}.") from None
    except MessageError as error:
        raise InvalidInputError(
            f"{path} holds no baselines: {error.message}",
            hint="Take it from the repository again, or remove it and measure anew with `edgeloop check --update-baseline`.",
        ) from None


def write_baselines(root: Path, baselines: Baselines) -> None:
    """Write the file, sorted, so that a change of one figure is a change of a few lines."""
    write_atomically(root / BASELINES_FILE, json.dumps(encode(baselines), indent=2, sort_keys=True) + "\n", mode=0o644)
