"""What a check found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgeloop_companion.doctor.words import WORDS
from edgeloop_shared.marks import Mark


@dataclass(frozen=True)
class Finding:
    """One line. `key` names its words (`words.WORDS`), `values` what stands in them."""

    check: str
    mark: Mark
    key: str
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def found(self) -> str:
        """What was found, in English."""
        return WORDS[self.key][0].format_map(self.values)

    @property
    def remedy(self) -> str:
        """What to do about it, in English; empty where nothing needs to be done."""
        return WORDS[self.key][1].format_map(self.values)
