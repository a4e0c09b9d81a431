"""Planted faults: each must be found and named."""

from __future__ import annotations

import numpy as np
import pytest
from plugins.divergence.conftest import Diverge

from edgeloop.testing import RecordingContext
from edgeloop_shared.errors import InvalidInputError, ModelError, NotFoundError, TaskFailedError


def test_a_model_agrees_with_itself_and_with_its_own_recording_later(
    diverge: Diverge, context: RecordingContext
) -> None:
    found = diverge("good.mnn", save="reference.npz")

    assert (found.finding, found.exit_status) == ("none", 0)
    assert found.verdict.startswith("Both sides agree at all")
    assert all(one.agrees for one in found.operators)
    assert {one.source for one in found.operators} >= {"Conv_1 (Conv)", "Conv_3 (Conv)", "Pool_5 (GlobalAveragePool)"}

    again = diverge("good.mnn", against="reference.npz")

    assert (again.finding, again.exit_status, again.min_snr_db) == ("none", 0, 60)
    assert [(one.name, one.agrees) for one in again.outputs] == [("pooled", True)]

    later = diverge("wrong.mnn", against="reference.npz")

    assert (later.finding, later.operator, later.exit_status) == ("operator", "conv3", 1)
    assert later.reference.place == "a file"
    assert later.inputs == "those of reference.npz"


def test_a_recording_of_another_model_is_held_to_what_its_weights_allow(
    diverge: Diverge, context: RecordingContext
) -> None:
    diverge("good.mnn", save="reference.npz")
    quantised = diverge("good8.mnn", against="reference.npz")
    diverge("good8.mnn", save="quantised.npz")
    same = diverge("good8.mnn", against="quantised.npz")

    with np.load(context.workspace / "reference.npz") as archive:
        operators = {name: archive[name] for name in archive.files if name.startswith(("operator/", "input/"))}
    np.savez(context.workspace / "operators.npz", **operators)
    foreign = diverge("good8.mnn", against="operators.npz")

    assert (foreign.finding, foreign.min_snr_db, foreign.outputs) == ("none", 15, ())
    assert (quantised.finding, quantised.min_snr_db) == ("none", 15)
    assert (same.finding, same.min_snr_db) == ("none", 60)


def test_a_wrong_weight_is_found_named_and_blamed_on_the_file(diverge: Diverge) -> None:
    found = diverge("wrong.mnn", reference="good.mnn", source="good.onnx", device="phone")

    assert (found.finding, found.operator, found.source) == ("operator", "conv3", "Conv_3 (Conv)")
    assert found.operator_type == "Convolution"
    assert "diverge at the operator conv3 (Convolution, ONNX node Conv_3 (Conv)): its inputs agree" in found.verdict
    assert "this computer computes the same with wrong.mnn: the file explains it, not the device" in found.causes
    assert "its weights are stored alike in both files, and so their values differ" in found.causes
    before = [one for one in found.operators if one.index < _index(found.operators, "conv3")]
    assert before
    assert all(one.out_snr_db is None and one.agrees for one in before)
    assert found.difference is not None
    assert found.difference.index[1] == 5
    assert float(found.difference.found) == pytest.approx(3 * float(found.difference.expected), rel=1e-3)
    assert "in 1 of 12 channels" in found.difference.spread


def test_a_nan_that_one_side_alone_computes_is_found_where_it_begins(diverge: Diverge) -> None:
    found = diverge("root.mnn", reference="rooted.mnn")

    assert (found.finding, found.operator, found.exit_status) == ("not-finite", "root", 1)
    assert "of 16 values on the device, 0 in the reference, out of finite inputs" in found.verdict
    (marked,) = [line for line in found.report.splitlines() if line.startswith("> ")]
    assert marked.split()[2:4] == ["root", "UnaryOp"]
    assert "NaN" in marked
    assert "distance (UnaryOp) in the reference" in found.unmatched


def test_a_nan_in_the_weights_of_a_convolution_is_found_though_mnn_hides_it(diverge: Diverge) -> None:
    found = diverge("nan.mnn", reference="good.mnn")

    assert (found.finding, found.operator) == ("operator", "conv3")
    assert found.source == "Conv_3 (Conv)"  # as good.onnx, beside the reference, has it
    assert any("float32's limit" in cause for cause in found.causes)


def test_a_nan_on_both_sides_is_named_with_its_node_and_the_values_that_came_in(diverge: Diverge) -> None:
    found = diverge("root.mnn")

    assert (found.finding, found.operator, found.source) == (
        "not-finite",
        "root",
        "root (Sqrt)".replace("root", "Sqrt_1"),
    )
    assert found.verdict.startswith("Both sides compute NaN from the operator root")
    assert any("its inputs are finite: -0." in cause for cause in found.causes)


def test_a_quantised_variant_agrees_within_what_its_bits_allow(diverge: Diverge) -> None:
    found = diverge("good8.mnn", reference="good.mnn")

    assert (found.finding, found.min_snr_db) == ("none", 15.0)
    assert any(one.out_snr_db is not None and one.out_snr_db < 60 for one in found.operators)


def test_a_wrong_layer_of_a_quantised_variant_stands_out_of_the_noise(diverge: Diverge) -> None:
    found = diverge("wrong8.mnn", reference="good.mnn")

    assert (found.finding, found.operator) == ("operator", "conv3")
    assert any("stores its weights in 8 bits, which alone would leave" in cause for cause in found.causes)


def test_small_errors_that_add_up_are_a_drift_of_no_single_operator(diverge: Diverge) -> None:
    found = diverge("good8.mnn", reference="good.mnn", min_snr=55)

    assert found.finding in ("drift", "operator")
    assert any("stores its weights in 8 bits: that is its quantisation" in cause for cause in found.causes)


def test_a_model_that_shows_no_operators_is_compared_in_its_outputs(diverge: Diverge) -> None:
    found = diverge("branch.mnn")

    assert (found.finding, found.operators) == ("none", ())
    assert found.verdict == "Both sides agree in what can be compared: y."
    assert any("only its outputs are compared" in note for note in found.notes)


SCRIPT = """
import sys
from pathlib import Path
import numpy as np
import edgeloop_task

def weights(old, new, half):
    at = ((np.arange(new) + 0.5) * old / new - 0.5 if half else np.arange(new) * old / new).clip(0, old - 1)
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(old)[None]))

is_device = Path(".edgeloop").is_dir()
image = edgeloop_task.stage("decode", np.random.default_rng(0).integers(0, 255, (24, 24, 3)).astype(np.float32))
scale = weights(24, 16, half=not (is_device and sys.argv[1] == "resize"))
image = edgeloop_task.stage("resize", np.einsum("yh,xw,hwc->yxc", scale, scale, image))
image = edgeloop_task.stage("colours", image[..., ::-1] if is_device and sys.argv[1] == "bgr" else image)
image = edgeloop_task.stage("scale", image / 255)
model = edgeloop_task.load_model("good.mnn")
model(image.transpose(2, 0, 1)[None].astype(np.float32))
"""


@pytest.mark.parametrize(
    ("fault", "stage", "cause"),
    [
        (
            "resize",
            "resize",
            "it was resized with bilinear, top left corners aligned (asymmetric) where bilinear, pixel centres aligned "
            "(half-pixel) is expected",
        ),
        ("bgr", "colours", "its colours stand in the other order (RGB and BGR swapped)"),
    ],
)
def test_a_wrong_step_of_the_preprocessing_is_found_before_the_operators(
    diverge: Diverge, context: RecordingContext, fault: str, stage: str, cause: str
) -> None:
    (context.workspace / "run.py").write_text(SCRIPT)

    found = diverge("run.py", arguments=[fault])

    assert (found.finding, found.stage, found.exit_status) == ("stage", stage, 1)
    assert found.causes[0] == cause
    assert "given the same inputs, all" in found.causes[1]
    assert next(one.name for one in found.stages if one.agrees) == "decode"


def test_a_script_without_stages_and_models_is_told_what_to_name(diverge: Diverge, context: RecordingContext) -> None:
    (context.workspace / "run.py").write_text("print('hello')\n")
    with pytest.raises(InvalidInputError, match="has no stages and runs no model"):
        diverge("run.py")


def test_a_script_that_fails_on_the_device_fails_the_search(diverge: Diverge, context: RecordingContext) -> None:
    (context.workspace / "run.py").write_text("raise SystemExit(3)\n")
    with pytest.raises(TaskFailedError, match=r"run\.py failed: exit code 1"):
        diverge("run.py")


def test_onnx_runtime_is_a_reference_tensor_by_tensor_also_where_mnn_has_fused_some(diverge: Diverge) -> None:
    found = diverge("good.mnn", against="onnxruntime")

    assert (found.finding, found.reference.engine.split()[:2]) == ("none", ["ONNX", "Runtime"])
    assert {one.name for one in found.operators} >= {"conv1", "conv2", "conv3", "conv4", "pooled_raster_0"}

    wrong = diverge("wrong.mnn", against="good.onnx", source="good.onnx")

    assert (wrong.finding, wrong.operator, wrong.source) == ("operator", "conv3", "Conv_3 (Conv)")
    assert wrong.difference is not None
    assert wrong.difference.index[1] == 5


def test_inputs_of_another_shape_missing_files_and_strange_opponents_are_refused(
    diverge: Diverge, context: RecordingContext
) -> None:
    np.save(context.workspace / "small.npy", np.zeros((1, 3, 4, 4), np.float32))
    np.savez(context.workspace / "other.npz", a=np.zeros(3))
    with pytest.raises(InvalidInputError, match="has the shape"):
        diverge("good.mnn", input="small.npy")
    with pytest.raises(NotFoundError, match="There is no file"):
        diverge("gone.mnn")
    with pytest.raises(InvalidInputError, match="is nothing to compare with"):
        diverge("good.mnn", against="cpu:highest")
    with pytest.raises(InvalidInputError, match="holds no recorded run"):
        diverge("good.mnn", against="other.npz")
    with pytest.raises(InvalidInputError, match="which a device does not run"):
        diverge("good.onnx")
    (context.workspace / "text.mnn").write_text("no model")
    with pytest.raises(ModelError):
        diverge("text.mnn")


def _index(operators: object, name: str) -> int:
    assert isinstance(operators, tuple)
    return next(int(one.index) for one in operators if one.name == name)
