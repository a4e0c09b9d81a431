"""Benchmarks on real models: rounds, matrices, throttling, and a script's own runs."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from companion_app.task_models import random

import edgeloop_task
from edgeloop_shared.benchmarks import BenchTask, Cell, ProcessorReading
from edgeloop_shared.codec import decode, encode
from edgeloop_shared.errors import InvalidInputError, ModelError, TaskFailedError
from edgeloop_shared.processor_state import ProcessorState, processor_state
from edgeloop_task import run_times
from edgeloop_task.bench_tool import run_bench
from edgeloop_task.benchmarking import Subject, in_rounds, noise
from edgeloop_task.inside_use import record_script
from edgeloop_task.throttling import throttling

IMAGE = random(1, 3, 8, 8)


def test_models_take_turns_and_every_round_loads_anew(models: Path) -> None:
    loaded: list[str] = []

    def subject(name: str) -> Subject:
        def load() -> edgeloop_task.Model:
            loaded.append(name)
            return edgeloop_task.load_model(models / "network.mnn")

        return Subject(load, [IMAGE])

    heard: list[tuple[str, int]] = []
    measured = in_rounds(
        {"a": subject("a"), "b": subject("b")},
        rounds=3,
        runs=8,
        on_round=lambda key, number: heard.append((key, number)),
    )

    assert loaded == ["a", "b"] * 3
    assert heard == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert [len(one.timing.samples_ns) for one in measured["a"]] == [3, 3, 2]
    assert all(one.load_ms > 0 and one.first_ms > 0 and one.warmup_runs > 0 for one in measured["b"])


def test_a_round_that_would_take_too_long_has_fewer_runs(models: Path) -> None:
    subject = Subject(lambda: edgeloop_task.load_model(models / "network.mnn"), [IMAGE])

    (one,) = in_rounds({"only": subject}, rounds=1, runs=1000, round_seconds=0.0)["only"]

    assert len(one.timing.samples_ns) == 1


def test_a_cell_that_the_device_lacks_is_said_and_not_measured_as_something_else(models: Path) -> None:
    network, branch = str(models / "network.mnn"), str(models / "branch.mnn")
    for model in (network, branch):
        cells = (Cell(model), Cell(model, "opencl"), Cell(model, "cpu", "normal", 64))

        result = run_bench(BenchTask(cells, reference=model, rounds=1, runs=2), lambda _: None)

        cpu, opencl, many = result.cells
        assert cpu.measurement is not None
        assert (cpu.measurement.is_exact, cpu.measurement.not_finite) == (True, 0)
        assert opencl.measurement is None
        assert "lacks that backend" in opencl.reason
        assert many.measurement is None
        assert "core" in many.reason
        assert decode(type(result), encode(result)) == result


def test_control_flow_on_a_backend_that_is_lacking_is_refused(models: Path) -> None:
    with pytest.raises(ModelError, match="lacks"):
        edgeloop_task.load_model(models / "branch.mnn", backend="opencl")


def test_the_first_sample_of_a_file_is_what_models_are_fed_with(models: Path, tmp_path: Path) -> None:
    model = str(models / "network.mnn")
    np.savez(tmp_path / "images.npz", image=np.zeros((4, 3, 8, 8), np.float32))
    task = BenchTask((Cell(model),), reference=model, inputs=str(tmp_path / "images.npz"), rounds=1, runs=1)

    result = run_bench(task, lambda _: None)

    assert "first sample" in result.inputs
    assert result.cells[0].measurement is not None
    assert result.cells[0].measurement.cosine == 1  # nothing but zeros are alike


def test_noise_is_how_far_the_rounds_are_apart_and_never_below_three_percent() -> None:
    assert noise([1.0, 1.0, 1.2]) == pytest.approx(0.2)
    assert noise([1.0, 1.0, 1.001]) == 0.03


@pytest.mark.parametrize(
    ("rounds", "clocks", "verdict"),
    [
        ([1.0, 1.0, 1.01], [2000, 2000], "none"),
        ([1.0, 1.2, 1.5], [2000, 1200], "throttled"),
        ([1.0, 1.2, 1.5], [2000, 2000], "slowed"),
        ([1.0, 1.2, 1.5], [None, None], "slowed"),
        ([1.0, 1.5], [2000, 1200], "unknown"),
    ],
)
def test_throttling_is_a_trend_with_a_falling_clock(
    rounds: list[float], clocks: list[float | None], verdict: str
) -> None:
    readings = [ProcessorReading(float(second), clock, None) for second, clock in enumerate(clocks)]

    found = throttling([rounds], readings)

    assert found.verdict == verdict
    assert ("clock cannot be read" in found.words) == (clocks[0] is None)
    assert "temperature cannot be read" in found.words


def test_nothing_measured_tells_nothing_of_throttling() -> None:
    assert throttling([], []).verdict == "unknown"


def test_clock_and_temperature_are_read_where_the_system_has_them(tmp_path: Path) -> None:
    assert processor_state(tmp_path) == ProcessorState(None, None)
    for number, kilohertz in enumerate(("1000000", "2000000", "asleep")):
        core = tmp_path / f"devices/system/cpu/cpu{number}/cpufreq"
        core.mkdir(parents=True)
        (core / "scaling_cur_freq").write_text(kilohertz)
    for number, heat in enumerate(("41000", "56500", "0", "-274000")):
        zone = tmp_path / f"class/thermal/thermal_zone{number}"
        zone.mkdir(parents=True)
        (zone / "temp").write_text(heat)

    assert processor_state(tmp_path) == ProcessorState(1500.0, 56.5)


def test_a_scripts_own_runs_are_recorded_with_their_inputs(models: Path) -> None:
    with run_times.recording() as recorder:
        model = edgeloop_task.load_model(models / "network.mnn")
        for _ in range(3):
            model(IMAGE)
    model(IMAGE)

    (found,) = recorder.found.values()
    assert (found.backend, found.precision, found.threads, len(found.runs)) == ("cpu", "normal", 1, 3)
    assert all(one.asked <= one.begun < one.fed < one.computed < one.ended for one in found.runs)
    np.testing.assert_array_equal(np.asarray(found.arrays[0]), IMAGE)


def test_waiting_for_another_threads_run_of_the_same_model_counts(models: Path) -> None:
    model = edgeloop_task.load_model(models / "network.mnn")
    with run_times.recording() as recorder:
        threads = [threading.Thread(target=lambda: [model(IMAGE) for _ in range(20)]) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    (found,) = recorder.found.values()
    assert len(found.runs) == 40


def test_a_script_that_does_not_run_the_model_is_told_what_it_ran(models: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, numpy, edgeloop_task\n"
        "edgeloop_task.load_model(sys.argv[1]).run(numpy.zeros((2, 3), 'f4'), numpy.zeros((2, 3), 'f4'))\n"
    )

    with pytest.raises(InvalidInputError, match=r"it ran .*pair\.mnn"):
        record_script(str(script), [str(models / "pair.mnn")], models / "network.mnn")


@pytest.mark.parametrize(
    ("text", "expected"), [("1 / 0", "exit code 1"), ("import os; os.kill(os.getpid(), 9)", "signal 9")]
)
def test_a_script_that_fails_is_named(models: Path, tmp_path: Path, text: str, expected: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(text)

    with pytest.raises(TaskFailedError, match=expected):
        record_script(str(script), [], models / "network.mnn")


def test_a_script_is_compared_with_its_model_alone(models: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, numpy, edgeloop_task\n"
        "model = edgeloop_task.load_model(sys.argv[1], precision='high')\n"
        "for _ in range(12):\n"
        "    model(numpy.ones((2, 3, 8, 8)))\n"
    )
    model = str(models / "network.mnn")
    task = BenchTask((Cell(model),), reference=model, rounds=2, runs=4, inside=str(script), inside_arguments=(model,))

    result = run_bench(task, lambda _: None)

    assert result.inside is not None
    assert result.inside.cell == Cell(model, "cpu", "high", 1)
    assert [one.cell for one in result.cells] == [result.inside.cell, Cell(model)]
    assert result.inside.runs == 9  # three to warm up
    assert result.inside.call_ms > result.inside.compute_ms > 0
    assert result.inside.between_ms is not None
    assert result.inside.off_cpu_ms is not None
    assert result.inside.words
    assert "script.py" in result.inputs
