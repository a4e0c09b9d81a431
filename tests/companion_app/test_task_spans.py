"""Spans, memory and the garbage collector in a trace: nested in threads and tasks, bounded, and nothing when nobody traces."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from companion_app.task_models import random
from companion_app.task_reporter import Remembered

import edgeloop_task
from edgeloop_shared.errors import InvalidInputError
from edgeloop_shared.processor_state import ProcessorSensors
from edgeloop_shared.spans import MAX_DEPTH, SpanBatch
from edgeloop_task import trace_recorder, tracing
from edgeloop_task.trace_recorder import MAX_PENDING, RECORDER, Recorder, root
from edgeloop_task.trace_sampler import Counters


def spans(reported: Remembered, kind: str = "span") -> list[tuple[str, str, dict[str, Any]]]:
    """What was recorded: places, outermost first, with their tracks and attributes."""
    return [
        (
            _path(batch, number),
            batch.texts.tracks[batch.track[number]],
            dict(batch.texts.attributes.get(str(number), {})),
        )
        for batch in reported.spans
        for number in range(len(batch))
        if batch.texts.labels[batch.label[number]].kind == kind
    ]


def _path(batch: SpanBatch, number: int) -> str:
    return "/".join(label.name for label in batch.path(batch.label[number]))


@pytest.fixture(autouse=True)
def no_collections() -> Iterator[None]:
    """Collections of their own would stand between the spans."""
    gc.disable()
    yield
    gc.enable()


def test_blocks_nest_and_carry_what_is_known_of_them(reported: Remembered) -> None:
    with edgeloop_task.trace(), edgeloop_task.span("frame", number=3) as frame:
        with edgeloop_task.span("pre"):
            time.sleep(0.002)
        frame.set(best="cat", shape=(1, 2), odds=float("nan"))
    assert spans(reported) == [
        ("frame/pre", "MainThread", {}),
        ("frame", "MainThread", {"number": 3, "best": "cat", "shape": "(1, 2)", "odds": "nan"}),
    ]
    (batch,) = reported.spans
    assert batch.duration_ns[1] > batch.duration_ns[0] > 2_000_000
    assert batch.begin_ns[1] < batch.begin_ns[0]


def test_nothing_is_recorded_unless_somebody_traces(reported: Remembered) -> None:
    with edgeloop_task.span("before"):
        pass
    with edgeloop_task.trace(), edgeloop_task.span("inside"):
        pass
    with edgeloop_task.span("after"):
        pass
    assert [path for path, _, _ in spans(reported)] == ["inside"]


def test_a_block_that_raises_says_what(reported: Remembered) -> None:
    def fail() -> None:
        with edgeloop_task.span("bad"):
            raise ZeroDivisionError

    with edgeloop_task.trace(), pytest.raises(ZeroDivisionError):
        fail()
    assert spans(reported) == [("bad", "MainThread", {"error": "ZeroDivisionError"})]


def test_functions_are_spans_each_time_they_are_called(reported: Remembered) -> None:
    @edgeloop_task.span("fib")
    def fibonacci(n: int) -> int:
        """Count rabbits."""
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    assert fibonacci(3) == 2
    assert fibonacci.__doc__ == "Count rabbits."
    with edgeloop_task.trace():
        assert fibonacci(3) == 2
    paths = [path for path, _, _ in spans(reported)]
    assert sorted(paths) == ["fib", "fib/fib", "fib/fib", "fib/fib/fib", "fib/fib/fib"]


def test_tasks_that_overlap_nest_their_own(reported: Remembered) -> None:
    @edgeloop_task.span("fetch")
    async def fetch(number: int, all_are_in: asyncio.Barrier) -> None:
        with edgeloop_task.span("decode", number=number):
            await all_are_in.wait()  # all of them are between their begin and their end now

    async def work() -> None:
        barrier = asyncio.Barrier(3)
        with edgeloop_task.span("batch"):
            await asyncio.gather(*(fetch(number, barrier) for number in range(3)))

    with edgeloop_task.trace():
        asyncio.run(work())
    found = spans(reported)
    assert sorted(path for path, _, _ in found) == ["batch", *["batch/fetch"] * 3, *["batch/fetch/decode"] * 3]
    tracks = {track for path, track, _ in found if path == "batch/fetch"}
    assert len(tracks) == 3
    assert all(track.startswith("MainThread / Task-") for track in tracks)


def test_threads_begin_with_none(reported: Remembered) -> None:
    def work() -> None:
        with edgeloop_task.span("copy"):
            pass

    with edgeloop_task.trace(), edgeloop_task.span("frame"):
        thread = threading.Thread(target=work, name="helper")
        thread.start()
        thread.join()
    assert spans(reported) == [("copy", "helper", {}), ("frame", "MainThread", {})]


def test_a_run_of_a_model_is_a_span_that_names_its_session(models: Path, reported: Remembered) -> None:
    loaded = edgeloop_task.load_model
    with (
        edgeloop_task.trace(),
        edgeloop_task.span("frame"),
        loaded(models / "network.mnn", threads=2, precision="low") as model,
    ):
        for _ in range(2):
            model(random(1, 3, 8, 8))
    (table,) = reported.tables
    assert (table.threads, table.precision) == (2, "low")
    runs = [
        (_path(batch, number), batch.session[number], batch.iteration[number])
        for batch in reported.spans
        for number in range(len(batch))
        if batch.texts.labels[batch.label[number]].kind == "run"
    ]
    assert runs == [("frame/network.mnn", table.session, 0), ("frame/network.mnn", table.session, 1)]
    assert [path for path, _, _ in spans(reported, "load")] == ["frame/network.mnn"]
    operators = [batch for batch in reported.batches if batch.iteration[0] == 1]
    (spanned,) = [batch for batch in reported.spans if 1 in batch.iteration]
    number = list(spanned.iteration).index(1)
    assert spanned.begin_ns[number] <= operators[0].begin_ns[0]
    last = operators[-1].begin_ns[-1] + operators[-1].duration_ns[-1]
    assert last <= spanned.begin_ns[number] + spanned.duration_ns[number]


def test_a_collection_is_a_span_where_it_happened(reported: Remembered) -> None:
    with edgeloop_task.trace(), edgeloop_task.span("work"):
        gc.collect()
    gc.collect()
    found = spans(reported, "gc")
    assert [(path, track) for path, track, _ in found] == [("work/generation 2", "MainThread")]
    assert found[0][2]["collected"] >= 0


def test_the_trace_says_what_is_read_and_what_is_not(reported: Remembered) -> None:
    with edgeloop_task.trace():
        pass
    (head,) = reported.started
    assert head.interval_seconds == 0.25
    assert "peak memory MB" in head.counters
    assert not set(head.counters) & set(head.missing)
    assert set(head.counters) | set(head.missing) >= {"memory MB", "processor MHz", "processor °C", "battery °C"}
    assert abs(head.time_ns + head.clock_offset_ns - time.time_ns()) < 60 * 10**9
    assert reported.counters
    batch = reported.counters[0]
    assert batch.texts.names == head.counters
    peak = batch.values[batch.texts.names.index("peak memory MB")]
    assert 5 < peak[0] < 100_000


def test_counters_come_from_where_linux_and_android_tell_them(tmp_path: Path) -> None:
    for path, text in {
        "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1800000\n",
        "devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": "600000\n",
        "class/thermal/thermal_zone0/temp": "41500\n",
        "class/thermal/thermal_zone1/temp": "-274000\n",
        "class/power_supply/battery/temp": "312\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    counters = Counters(tmp_path)
    values = dict(zip(counters.names, counters.values(), strict=True))
    assert (values["processor MHz"], values["processor °C"], values["battery °C"]) == (1200, 41.5, 31.2)
    assert counters.missing == {}
    assert ProcessorSensors(tmp_path / "nowhere").battery_celsius() is None
    assert Counters(tmp_path / "nowhere").missing.keys() >= {"processor MHz", "processor °C", "battery °C"}


def test_many_spans_travel_in_several_batches(reported: Remembered) -> None:
    with edgeloop_task.trace():
        for number in range(2000):
            with edgeloop_task.span("step", text="x" * 300, number=number):
                pass
    numbers = [attributes["number"] for _, _, attributes in spans(reported)]
    assert numbers == list(range(2000))
    assert len(reported.spans) > 2000 // 512
    assert {len(attributes["text"]) for _, _, attributes in spans(reported)} == {256}


def test_spans_that_come_too_fast_are_counted(reported: Remembered) -> None:
    recorder = Recorder()
    place = root().child("span", "quick")
    for _ in range(MAX_PENDING + 7):
        recorder.add((place, "MainThread", 0, 0, 1, 1, None))
    recorder.send()
    assert sum(len(batch) for batch in reported.spans) == MAX_PENDING
    assert sum(batch.lost for batch in reported.spans) == 7


def test_endless_names_and_endless_depth_end(reported: Remembered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_recorder, "MAX_NODES", trace_recorder.Node.count + 100)

    def dig(depth: int) -> None:
        with edgeloop_task.span("dig"):
            if depth:
                dig(depth - 1)

    with edgeloop_task.trace():
        dig(2 * MAX_DEPTH)
        for number in range(200):
            with edgeloop_task.span(f"name {number}"):
                pass
    paths = [path for path, _, _ in spans(reported)]
    assert len(paths) == 2 * MAX_DEPTH + 1 + 200
    assert max(path.count("/") for path in paths) == MAX_DEPTH - 1
    assert "(other)" in paths
    assert len(set(paths)) < MAX_DEPTH + 102


def test_what_cannot_be_a_span_says_so() -> None:
    for name in ("", None, 3):
        with pytest.raises(InvalidInputError, match="cannot be called"):
            edgeloop_task.span(name)  # type: ignore[arg-type]

    def generator() -> Iterator[int]:
        yield 1

    with pytest.raises(InvalidInputError, match="generator"):
        edgeloop_task.span("steps")(generator)


def test_one_span_object_may_be_open_twice(reported: Remembered) -> None:
    again = edgeloop_task.span("again")
    with edgeloop_task.trace(), again, again:
        np.zeros(1)
    assert [path for path, _, _ in spans(reported)] == ["again/again", "again"]
    assert not RECORDER.is_due


def test_a_trace_that_begins_while_another_ends_is_not_ended_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []

    def work() -> None:
        with edgeloop_task.trace():
            called.append("work")

    other = threading.Thread(target=work)

    class Slow:
        def begin(self) -> None:
            called.append("begin")

        def end(self) -> None:
            if not other.ident:
                other.start()
                other.join(0.2)  # it can do nothing yet
            called.append("end")

    monkeypatch.setattr(tracing, "SAMPLER", Slow())
    with edgeloop_task.trace():
        pass
    other.join(60)
    assert called == ["begin", "end", "begin", "work", "end"]
