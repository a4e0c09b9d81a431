"""Reports: checked where they are made, and told to the console or to a companion."""

from __future__ import annotations

import io
import json
import math
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from companion_app.task_reporter import Remembered
from PIL import Image

import edgeloop_task
from edgeloop_companion.store.images import safe_image
from edgeloop_shared.codec import decode
from edgeloop_shared.errors import BundleError, InvalidInputError
from edgeloop_shared.run_events import MetricReported, ResultReported
from edgeloop_shared.traces import Operator, OperatorTable, TraceBatch, pack_batch, unpack_batch
from edgeloop_task import reporting
from edgeloop_task.native_output import capture
from edgeloop_task.reporting import ChannelReporter, ConsoleReporter

TABLE = OperatorTable(7, "m.mnn", "cpu", 1000, (Operator("conv", "Convolution", ((1, 3),), ((1, 6),), 0.5),))
BATCH = TraceBatch(7, [0], [4], [2000], [500])


def test_numbers_of_numpy_are_numbers(reported: Remembered) -> None:
    edgeloop_task.report_metric("loss", np.float32(0.5), step=int(np.int64(3)))
    edgeloop_task.report_metric("accuracy", np.array(1))
    edgeloop_task.report_result(matrix=np.eye(2), nested={"p50": [np.float64(1.5)]}, name="x", nothing=None)
    edgeloop_task.report_result(name="y")

    assert reported.metrics == [("loss", 0.5, 3), ("accuracy", 1.0, None)]
    assert json.loads(json.dumps(reported.results)) == {
        "matrix": [[1, 0], [0, 1]],
        "nested": {"p50": [1.5]},
        "name": "y",
        "nothing": None,
    }


@pytest.mark.parametrize(
    ("array", "first"),
    [
        (np.array([[0, 255], [7, 8]], np.uint8), (0, 0, 0, 255)),
        (np.array([[0.5, 2.0]], np.float64), (128, 128, 128, 255)),
        (np.array([[True, False]]), (255, 255, 255, 255)),
        (np.full((2, 3, 3), [9, 8, 7], np.uint8), (9, 8, 7, 255)),
        (np.full((2, 3, 4), [9, 8, 7, 6], np.uint8), (9, 8, 7, 6)),
        (np.full((2, 3, 2), [9, 6], np.uint8), (9, 9, 9, 6)),
    ],
)
def test_an_array_is_reported_as_an_image(tmp_path: Path, array: Any, first: tuple[int, ...]) -> None:
    reporting.use(ConsoleReporter(tmp_path))
    edgeloop_task.report_image(array, "inputs/7.png")
    image = safe_image((tmp_path / "inputs" / "7.png").read_bytes())
    assert (image.height, image.width) == array.shape[:2]
    with Image.open(tmp_path / "inputs" / "7.png") as opened:
        assert opened.convert("RGBA").getpixel((0, 0)) == first


def test_a_file_is_reported_as_an_image_as_it_is(tmp_path: Path) -> None:
    reporting.use(ConsoleReporter(tmp_path / "output"))
    (tmp_path / "photo.jpg").write_bytes(b"a photo")
    edgeloop_task.report_image(tmp_path / "photo.jpg")
    assert (tmp_path / "output" / "photo.jpg").read_bytes() == b"a photo"


@pytest.mark.parametrize(
    ("image", "name", "words"),
    [
        (np.zeros((1, 3, 8, 8), np.uint8), None, "is no image"),
        (np.zeros((3, 8, 8), np.uint8), None, "transpose"),
        (np.zeros((0, 8), np.uint8), None, "is no image"),
        (np.zeros((8, 8), np.int64), None, "int64"),
        (np.full((8, 8), np.nan), None, "NaN"),
        (np.zeros((8, 8)), "image.jpg", ".png"),
        ("missing.png", None, "does not exist"),
    ],
)
def test_what_is_no_image_is_refused_with_what_to_do(image: Any, name: str | None, words: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        edgeloop_task.report_image(image, name)
    assert words in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "value", "step"),
    [
        ("loss", math.nan, None),
        ("loss", math.inf, None),
        ("loss", "high", None),
        ("", 1, None),
        ("a\nb", 1, None),
        ("loss", 1, 0.5),
    ],
)
def test_a_metric_is_one_finite_number_with_a_name(reported: Remembered, name: str, value: Any, step: Any) -> None:
    with pytest.raises(InvalidInputError, match="cannot be reported") as caught:
        edgeloop_task.report_metric(name, value, step)
    assert caught.value.hint
    assert not reported.metrics


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize("value", [math.nan, object(), {1, 2}, np.zeros(20_000), "x" * 100_000, CIRCLE, b"bytes"])
def test_a_result_that_cannot_travel_is_refused_at_once(reported: Remembered, value: Any) -> None:
    with pytest.raises(InvalidInputError, match="cannot be reported"):
        edgeloop_task.report_result(good=1, bad=value)
    assert not reported.results


def test_a_file_is_reported_under_its_own_name_or_another(reported: Remembered, tmp_path: Path) -> None:
    file = tmp_path / "scores.npy"
    file.write_bytes(b"scores")
    edgeloop_task.report_file(file)
    edgeloop_task.report_file(str(file), name="deep/other.npy")

    assert reported.files == [(file, "scores.npy"), (file, "deep/other.npy")]


@pytest.mark.parametrize("name", ["", "../up", "/etc/passwd", "a/../b", "a\\b", "a\nb"])
def test_a_name_cannot_lead_out_of_the_folder(reported: Remembered, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BundleError, match="cannot be reported"):
        edgeloop_task.report_file(tmp_path / "file", name=name)
    assert not reported.files


def test_only_files_that_exist_are_reported(reported: Remembered, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="does not exist"):
        edgeloop_task.report_file(tmp_path / "nowhere")
    with pytest.raises(InvalidInputError, match="is a folder"):
        edgeloop_task.report_file(tmp_path)


def test_the_console_gets_lines_of_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    console = ConsoleReporter(tmp_path)
    console.metric("accuracy", 0.5, 3)
    console.metric("accuracy", 0.75, None)
    console.result({"name": "ä", "list": [1]})

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [{"step": 3, "accuracy": 0.5}, {"accuracy": 0.75}, {"name": "ä", "list": [1]}]


def test_the_console_copies_files_and_writes_the_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    console = ConsoleReporter()
    source = tmp_path / "scores.npy"
    source.write_bytes(b"first")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    console.file(source, "deep/scores.npy")
    source.write_bytes(b"second")
    console.operator_table(TABLE)
    console.trace_batch(pack_batch(BATCH))
    console.close()

    output = tmp_path / "edgeloop-output"
    assert (output / "deep/scores.npy").read_bytes() == b"first"
    events = json.loads((output / "trace.json").read_text())["traceEvents"]
    assert [event["name"] for event in events if event["ph"] == "X"] == ["conv"]


def test_a_console_that_was_told_nothing_leaves_nothing(tmp_path: Path) -> None:
    ConsoleReporter(tmp_path / "output").close()
    assert not (tmp_path / "output").exists()


def test_the_channel_carries_frames(tmp_path: Path) -> None:
    stream = io.BytesIO()
    channel = ChannelReporter(stream)
    channel.metric("loss", 0.5, None)
    channel.result({"a": [1]})
    channel.file(tmp_path / "x", "x.npy")
    channel.operator_table(TABLE)
    channel.trace_batch(pack_batch(BATCH))
    channel.close()

    frames = list(frames_of(stream.getvalue()))
    assert [kind for kind, _ in frames] == [1, 1, 1, 1, 2]
    reports = [json.loads(payload) for kind, payload in frames if kind == 1]
    assert [report.pop("type") for report in reports] == ["metric", "result", "file", "operator-table"]
    assert decode(MetricReported, reports[0]) == MetricReported("loss", 0.5)
    assert decode(ResultReported, reports[1]) == ResultReported({"a": (1,)})
    assert reports[2] == {"path": str((tmp_path / "x").resolve()), "name": "x.npy"}
    assert decode(OperatorTable, reports[3]) == TABLE
    assert list(unpack_batch(frames[4][1]).begin_ns) == [2000]


def frames_of(data: bytes) -> list[tuple[int, bytes]]:
    frames, at = [], 0
    while at < len(data):
        length, kind = struct.unpack_from("<IB", data, at)
        frames.append((kind, data[at + 5 : at + 5 + length]))
        at += 5 + length
    return frames


def test_what_native_code_prints_is_captured_in_order_and_nothing_else(capfd: pytest.CaptureFixture[str]) -> None:
    os.write(1, b"before\n")
    with capture() as outer:
        os.write(1, b"native out\n")
        os.write(2, b"and error\n")
        with capture() as inner:
            os.write(2, b"native \xff error\n\n")
    os.write(1, b"after\n")

    assert outer.lines == ("native out", "and error")
    assert inner.lines == ("native \N{REPLACEMENT CHARACTER} error",)
    assert capfd.readouterr() == ("before\nafter\n", "")


def test_a_capture_ends_with_its_block_even_when_that_raises(capfd: pytest.CaptureFixture[str]) -> None:
    outputs = []

    def fail() -> None:
        with capture() as output:
            outputs.append(output)
            os.write(1, b"last words\n")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    os.write(1, b"free again\n")

    assert outputs[0].lines == ("last words",)
    assert capfd.readouterr().out == "free again\n"


def test_a_capture_keeps_a_flood_within_bounds() -> None:
    with capture() as output:
        for _ in range(100):
            os.write(1, b"x" * 4095 + b"\n")
    assert sum(map(len, output.lines)) <= 64 * 1024


def test_memory_grows_with_what_is_held_and_its_peak_begins_anew() -> None:
    size = 64 * 1024**2
    before = edgeloop_task.memory(reset_peak=True)
    held = np.ones(size, np.uint8)
    during = edgeloop_task.memory()
    del held
    assert during.current_bytes >= before.current_bytes + size * 0.9
    assert during.peak_bytes >= during.current_bytes

    edgeloop_task.memory(reset_peak=True)
    after = edgeloop_task.memory()
    assert after.peak_bytes < during.peak_bytes - size * 0.5


def test_without_proc_the_peak_is_what_getrusage_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from edgeloop_task import memory_use

    monkeypatch.setattr(memory_use, "_STATUS", tmp_path / "nowhere")
    found = edgeloop_task.memory()
    monkeypatch.setattr("sys.platform", "darwin")
    on_macos = edgeloop_task.memory()

    assert found.peak_bytes == found.current_bytes > 1024**2
    assert found.peak_bytes // 1024 == pytest.approx(on_macos.peak_bytes, rel=0.2)
