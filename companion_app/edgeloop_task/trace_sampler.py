"""What is read beside the spans while a process is traced: its memory, the processor, and Python's garbage collector."""

from __future__ import annotations

import contextlib
import gc
import math
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from edgeloop_shared.processor_state import ProcessorSensors
from edgeloop_shared.spans import TraceStarted
from edgeloop_task import reporting
from edgeloop_task.spans import current_place
from edgeloop_task.trace_recorder import RECORDER, track

INTERVAL_SECONDS = 0.25
_SEND_EVERY = 4  # samples
_PEAK_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
_NOT_TOLD = "this system does not tell it"


class Counters:
    """What this device tells, each by a function; `missing` is what it does not."""

    def __init__(self, system: Path = Path("/sys"), statm: Path = Path("/proc/self/statm")) -> None:
        sensors = ProcessorSensors(system)
        page = os.sysconf("SC_PAGE_SIZE")

        def resident() -> float:
            return int(statm.read_text().split()[1]) * page / 1e6

        def peak() -> float:
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _PEAK_UNIT / 1e6

        known: dict[str, Callable[[], float | None]] = {
            "memory MB": resident,
            "peak memory MB": peak,
            "processor MHz": sensors.megahertz,
            "processor °C": sensors.celsius,
            "battery °C": sensors.battery_celsius,
        }
        self._read = {name: read for name, read in known.items() if not math.isnan(_value(read))}
        self.names = tuple(self._read)
        self.missing = {name: _NOT_TOLD for name in known if name not in self._read}

    def values(self) -> tuple[float, ...]:
        """Return the values now, in the order of the names."""
        return tuple(_value(read) for read in self._read.values())


class Sampler:
    """Reads counters every `INTERVAL_SECONDS` in a thread of its own, and notes collections, from `begin` to `end`."""

    def __init__(self) -> None:
        self._counters: Counters | None = None
        self._works = threading.Event()
        self._thread: threading.Thread | None = None
        self._collection_began = 0
        self._sampled_at = -math.inf
        self._reporter: reporting.Reporter | None = None

    def begin(self) -> None:
        """Say that a trace begins, and read from now on."""
        if self._counters is None:
            self._counters = Counters()
        now = time.perf_counter_ns()
        offset = time.time_ns() - now
        counters = self._counters
        reporting.current().trace_started(TraceStarted(now, offset, INTERVAL_SECONDS, counters.names, counters.missing))
        gc.callbacks.append(self._collected)
        reporter, self._reporter = self._reporter, reporting.current()
        # A script that traces again and again for a moment gets no more samples than one that traces all the time.
        if reporter is not self._reporter or time.monotonic() > self._sampled_at + INTERVAL_SECONDS:
            self._sample(counters)
        self._works.set()
        if self._thread is None or not self._thread.is_alive():  # also in a process that was forked
            self._thread = threading.Thread(target=self._work, args=(counters,), name="edgeloop-sampler", daemon=True)
            self._thread.start()

    def end(self) -> None:
        """Read no more, and send what was recorded."""
        self._works.clear()
        with contextlib.suppress(ValueError):
            gc.callbacks.remove(self._collected)
        RECORDER.send()

    def _sample(self, counters: Counters) -> None:
        RECORDER.sample(time.perf_counter_ns(), counters.names, counters.values())
        self._sampled_at = time.monotonic()

    def _work(self, counters: Counters) -> None:
        number = 0
        while self._works.wait():
            time.sleep(INTERVAL_SECONDS)
            if not self._works.is_set():
                continue
            self._sample(counters)
            if number % _SEND_EVERY == 0:
                with contextlib.suppress(OSError, ValueError):  # whoever listened is gone
                    RECORDER.send()
            number += 1

    def _collected(self, phase: str, facts: dict[str, int]) -> None:
        if phase == "start":
            self._collection_began = time.perf_counter_ns()
        elif began := self._collection_began:
            taken = time.perf_counter_ns() - began
            self._collection_began = 0
            generation = facts["generation"]
            place = current_place().child("gc", f"generation {generation}")
            found = {"collected": facts["collected"]} if generation == 2 else None
            RECORDER.add((place, track(), 0, 0, began, taken, found))


def _value(read: Callable[[], float | None]) -> float:
    try:
        value = read()
    except (OSError, ValueError, IndexError):
        return math.nan
    return math.nan if value is None else value


SAMPLER = Sampler()
"""The sampler of this process."""
