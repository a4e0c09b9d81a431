"""How long to wait before dialling again: at once after a good link, else at random with a growing bound."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

FIRST_BOUND_SECONDS = 0.5
LAST_BOUND_SECONDS = 30.0
SETTLED_SECONDS = 5.0


@dataclass
class Reconnect:
    """Full jitter: after n failures in a row, uniform between zero and `min(30, 0.5 * 2**(n - 1))` seconds.

    Many devices that lost the same daemon so come back spread out in time. A link that did not live for
    `SETTLED_SECONDS` counts as a failure from its second time on, so that a daemon which accepts and drops is not hammered.
    """

    failures: int = 0
    source: random.Random = field(default_factory=random.SystemRandom)

    def delay(self, lived_seconds: float = 0.0) -> float:
        """Return the seconds to wait after an attempt whose link lived that long (zero: there was none)."""
        if lived_seconds >= SETTLED_SECONDS:
            self.failures = 0
        failures, self.failures = self.failures, self.failures + 1
        if failures == 0:
            return 0.0
        bound = min(LAST_BOUND_SECONDS, FIRST_BOUND_SECONDS * 2.0 ** min(failures - 1, 16))
        return self.source.uniform(0.0, bound)

    def yield_to_another(self) -> float:
        """Return a long wait: another device with the same identity holds the link."""
        return self.source.uniform(LAST_BOUND_SECONDS / 2, LAST_BOUND_SECONDS)
