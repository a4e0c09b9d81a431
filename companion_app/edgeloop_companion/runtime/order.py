"""What a worker is told to do."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Order:
    """One script to run, its path relative to the working directory. Travels as one line of JSON.

    `reports` and `status` are the descriptors that the worker inherits: for the script's reports, and for its own words.
    """

    script: str
    arguments: tuple[str, ...] = field(default=(), metadata={"max_length": 1024})
    trace: bool = False
    reports: int = -1
    status: int = -1
