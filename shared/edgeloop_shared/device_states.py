"""What a device tells of itself as it changes: whether it is in use, and how warm, charged and full it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

LOW_STORAGE_BYTES = 500 * 1000**2
"""Less free space than this is low: the next model may not fit."""

Activity = Literal["foreground", "background"]
"""An app in the background is seen by nobody, and its system may slow it, suspend it or end it."""

Throttling = Literal["none", "light", "moderate", "severe", "critical", "emergency", "shutdown"]
"""How much the system slows itself for its heat: the thermal states of Android's `PowerManager`."""

_CELSIUS = {"ge": -100.0, "le": 200.0}


@dataclass(frozen=True)
class Vitals:
    """A device's battery, heat and storage. None is what its platform does not tell.

    `battery_percent` is of what it can hold now. Temperatures are in degrees Celsius: the battery's, and that of the
    processor's hottest zone. `free_bytes` is what is left where blobs are kept, and is what counts for `is_storage_low`.
    """

    battery_percent: int | None = field(default=None, metadata={"ge": 0, "le": 100})
    is_charging: bool | None = None
    battery_celsius: float | None = field(default=None, metadata=_CELSIUS)
    processor_celsius: float | None = field(default=None, metadata=_CELSIUS)
    throttling: Throttling | None = None
    free_bytes: int | None = field(default=None, metadata={"ge": 0, "lt": 2**63})

    @property
    def celsius(self) -> float | None:
        """The temperature that says most about how fast the device can be: the processor's, else the battery's."""
        return self.battery_celsius if self.processor_celsius is None else self.processor_celsius

    @property
    def is_storage_low(self) -> bool:
        """Whether little space is left."""
        return self.free_bytes is not None and self.free_bytes < LOW_STORAGE_BYTES


@dataclass(frozen=True)
class DeviceState:
    """A device's report, sent with its introduction and whenever it changes. `activity` is None where nothing is shown."""

    activity: Activity | None = None
    vitals: Vitals = field(default_factory=Vitals)
