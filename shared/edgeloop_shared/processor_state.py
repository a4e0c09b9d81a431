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
_BATTERIES = "class/power_supply/*/temp"  # tenths of a degree Celsius: Documentation/power/power_supply_class of Linux
_POSSIBLE_CELSIUS = (1, 150)  # sensors that are off say 0, -274 or the like


@dataclass(frozen=True)
class ProcessorState:
    """The mean clock of the cores and the hottest zone; None where the system does not say."""

    megahertz: float | None
    celsius: float | None


class ProcessorSensors:
    """The files in which a system tells its state, looked for once; `system` is where sysfs is mounted."""

    def __init__(self, system: Path = Path("/sys")) -> None:
        self._clocks = tuple(system.glob(_CORES))
        self._zones = tuple(system.glob(_ZONES))
        self._batteries = tuple(system.glob(_BATTERIES))

    def megahertz(self) -> float | None:
        """Return the mean clock of the cores."""
        clocks = list(_numbers(self._clocks))
        return statistics.fmean(clocks) / 1000 if clocks else None

    def celsius(self) -> float | None:
        """Return the temperature of the hottest zone."""
        return _hottest(self._zones, 1000)

    def battery_celsius(self) -> float | None:
        """Return the temperature of the battery."""
        return _hottest(self._batteries, 10)


def processor_state(system: Path = Path("/sys")) -> ProcessorState:
    """Return the state now; `system` is where sysfs is mounted."""
    sensors = ProcessorSensors(system)
    return ProcessorState(sensors.megahertz(), sensors.celsius())


def _hottest(files: Iterable[Path], unit: int) -> float | None:
    low, high = _POSSIBLE_CELSIUS
    return max((value / unit for value in _numbers(files) if low <= value / unit <= high), default=None)


def _numbers(files: Iterable[Path]) -> Iterable[int]:
    for file in files:
        try:
            yield int(file.read_text())
        except (
            OSError,
            ValueError,
        ):  # Android lets few apps read them; a sleeping core or sensor answers with an error
            continue
