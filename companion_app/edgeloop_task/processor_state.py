"""The processor's clock and temperature, where Linux or Android lets a process read them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_CORES = "devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"  # kHz: Documentation/admin-guide/pm/cpufreq of Linux
_ZONES = (
    "class/thermal/thermal_zone[0-9]*/temp"  # millidegrees Celsius: Documentation/driver-api/thermal/sysfs-api of Linux
)
_POSSIBLE_CELSIUS = (1, 150)  # sensors that are off say 0, -274 or the like


@dataclass(frozen=True)
class ProcessorState:
    """The mean clock of the cores and the hottest zone; None where the system does not say."""

    megahertz: float | None
    celsius: float | None


def processor_state(system: Path = Path("/sys")) -> ProcessorState:
    """Return the state now; `system` is where sysfs is mounted."""
    clocks = list(_numbers(system.glob(_CORES)))
    low, high = _POSSIBLE_CELSIUS
    zones = [value / 1000 for value in _numbers(system.glob(_ZONES)) if low <= value / 1000 <= high]
    return ProcessorState(statistics.fmean(clocks) / 1000 if clocks else None, max(zones, default=None))


def _numbers(files: Iterable[Path]) -> Iterable[int]:
    for file in files:
        try:
            yield int(file.read_text())
        except (
            OSError,
            ValueError,
        ):  # Android lets few apps read them; a sleeping core or sensor answers with an error
            continue
