"""Files that are no models, and models that cannot run: an error that says why, never a crash."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from companion_app.task_models import random
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import edgeloop_task
from edgeloop_shared.errors import InvalidInputError, ModelError, NotFoundError
from edgeloop_task.model_file import read_model_file


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b"hello, this is a text\n" * 30, "not a whole MNN model.*text file"),
        (np.random.default_rng(1).bytes(5000), "not a whole MNN model"),
        (bytes(4096), "not a whole MNN model"),
        (b"\x10", "not a whole MNN model"),
        (b"\x08\x01\x12\x07pytorch\x1a" + bytes(100), "ONNX model.*edgeloop convert"),
    ],
    ids=["empty", "text", "random", "zeros", "one byte", "onnx"],
)
def test_a_file_that_is_no_model_is_refused_with_a_guess_at_what_it_is(
    tmp_path: Path, content: bytes, complaint: str
) -> None:
    path = tmp_path / "odd.mnn"
    path.write_bytes(content)

    with pytest.raises(ModelError, match=complaint):
        edgeloop_task.load_model(path)


@pytest.mark.parametrize("part", [0.01, 0.1, 0.3, 0.5, 0.8, 0.95])
def test_a_truncated_model_is_refused(models: Path, tmp_path: Path, part: float) -> None:
    whole = (models / "network.mnn").read_bytes()
    path = tmp_path / "cut.mnn"
    path.write_bytes(whole[: int(len(whole) * part)])

    with pytest.raises(ModelError):
        edgeloop_task.load_model(path)


def test_what_only_mnn_notices_is_told_in_its_own_words(models: Path, tmp_path: Path) -> None:
    # The last bytes are weights, which are not looked at before MNN looks at them.
    whole = (models / "network.mnn").read_bytes()
    path = next(path for path in cut_at_the_end(whole, tmp_path) if passes_our_check(path))

    with pytest.raises(ModelError, match="MNN says") as caught:
        edgeloop_task.load_model(path)
    assert any("nterpreter" in line for line in caught.value.details["native_output"])


def cut_at_the_end(whole: bytes, folder: Path) -> list[Path]:
    paths = [folder / f"cut-{length}.mnn" for length in range(16, 80, 4)]
    for path, length in zip(paths, range(16, 80, 4), strict=True):
        path.write_bytes(whole[:-length])
    return paths


def passes_our_check(path: Path) -> bool:
    try:
        read_model_file(path)
    except ModelError:
        return False
    return True


def test_a_missing_file_and_a_folder_are_no_models(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"nowhere\.mnn does not exist"):
        edgeloop_task.load_model(tmp_path / "nowhere.mnn")
    with pytest.raises(NotFoundError, match="is a folder"):
        edgeloop_task.load_model(tmp_path)


def test_an_onnx_model_is_sent_to_the_converter(models: Path) -> None:
    with pytest.raises(ModelError, match="edgeloop convert"):
        edgeloop_task.load_model(models / "network.onnx")


def test_weights_beside_the_model_have_to_be_there_and_whole(models: Path, tmp_path: Path) -> None:
    shutil.copy(models / "beside.mnn", tmp_path)
    weights = tmp_path / "beside.mnn.weight"

    with pytest.raises(ModelError, match=r"beside\.mnn\.weight beside it, which is missing"):
        edgeloop_task.load_model(tmp_path / "beside.mnn")
    whole = (models / weights.name).read_bytes()
    weights.write_bytes(whole[:-1])
    with pytest.raises(ModelError, match=f"has only {len(whole) - 1} of {len(whole)} bytes"):
        edgeloop_task.load_model(tmp_path / "beside.mnn")
    weights.write_bytes(whole)
    image = random(1, 3, 8, 8)
    np.testing.assert_array_equal(
        edgeloop_task.load_model(tmp_path / "beside.mnn")(image),
        edgeloop_task.load_model(models / "network.mnn")(image),
    )


def test_a_shape_that_mnn_cannot_compute_is_an_error_with_its_code_and_lines(models: Path) -> None:
    model = edgeloop_task.load_model(models / "pair.mnn")
    two, three = np.zeros((2, 3), np.float32), np.zeros((3, 3), np.float32)

    with pytest.raises(ModelError, match=r"does not run: MNN returned code.*z \[2, 3\], a \[3, 3\]") as caught:
        model.run(two, three)
    assert caught.value.details["mnn_code"] != 0
    assert any("rror" in line for line in caught.value.details["native_output"])
    with pytest.raises(ModelError, match="does not run"):
        model.time(two, three, repeats=1)
    np.testing.assert_array_equal(model.run(three, three)["added"], three)  # the model is as good as new


def test_mnn_prints_nothing_into_the_scripts_output(models: Path, capfd: pytest.CaptureFixture[str]) -> None:
    edgeloop_task.load_model(models / "network.mnn", precision="low").close()
    with pytest.raises(ModelError):
        edgeloop_task.load_model(models / "network.onnx")

    assert capfd.readouterr() == ("", "")


def test_a_backend_that_this_build_lacks_is_not_replaced_in_silence(models: Path) -> None:
    with pytest.raises(ModelError, match=r"backend 'vulkan'.*lacks.*backend='cpu'"):
        edgeloop_task.load_model(models / "network.mnn", backend="vulkan")


@pytest.mark.parametrize("options", [{"threads": 0}, {"threads": 2.0}, {"precision": "odd"}, {"backend": "gpu"}])
def test_options_that_do_not_exist_are_named(models: Path, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match=str(next(iter(options.values())))):
        edgeloop_task.load_model(models / "network.mnn", **options)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8),
    length=st.integers(0, 10**6),
)
def test_damaged_files_raise_model_errors_before_mnn_sees_them(
    models: Path, tmp_path: Path, changes: list[tuple[int, int]], length: int
) -> None:
    damaged = bytearray((models / "network.mnn").read_bytes())
    for place, byte in changes:
        damaged[place % len(damaged)] = byte
    path = tmp_path / "damaged.mnn"
    path.write_bytes(damaged[: max(1, length % (2 * len(damaged)))])
    with contextlib.suppress(ModelError):  # nothing else comes out, whatever is in there
        read_model_file(path)


def test_tensor_numbers_that_are_out_of_range_do_not_reach_mnn(models: Path, tmp_path: Path) -> None:
    """Each number 1 of the file in turn becomes a large one; without the check several of these end the process."""
    whole = (models / "pair.mnn").read_bytes()
    places = [at for at in range(0, len(whole) - 4, 4) if whole[at : at + 4] == b"\x01\x00\x00\x00"]
    assert places
    refused = 0
    for at in places:
        path = tmp_path / f"{at}.mnn"
        path.write_bytes(whole[:at] + b"\x40\x42\x0f\x00" + whole[at + 4 :])
        refused += not passes_our_check(path)
    assert refused >= 3  # both operators take tensor 1, and an input makes it


def test_types_of_operators_that_mnn_cannot_have_do_not_reach_it(models: Path, tmp_path: Path) -> None:
    whole = (models / "pair.mnn").read_bytes()
    binary, beyond = (7).to_bytes(4, "little"), (7 + 0x7F000000).to_bytes(4, "little")
    path = tmp_path / "odd.mnn"
    path.write_bytes(whole.replace(binary, beyond))

    assert binary in whole
    with pytest.raises(ModelError, match="of no known type"):
        edgeloop_task.load_model(path)


def test_a_file_is_checked_before_mnn_is_even_loaded(tmp_path: Path) -> None:
    (tmp_path / "odd.mnn").write_bytes(b"no model")
    script = """
import sys, edgeloop_task
try:
    edgeloop_task.load_model("odd.mnn")
except edgeloop_task.model.ModelError:
    print("MNN" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
