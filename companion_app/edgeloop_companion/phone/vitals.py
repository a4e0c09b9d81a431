"""Reading a device's battery, heat and storage."""

from __future__ import annotations

from typing import Protocol

from edgeloop_shared.device_states import Vitals


class VitalsReader(Protocol):
    """How a platform tells them."""

    def read(self) -> Vitals:
        """Return what the platform tells now. Blocks for some milliseconds: for a worker thread. Raises nothing."""
