from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeloop import DataPath, JobContext, ModelPath
from edgeloop_plugins.model_tools.compare import compare
from edgeloop_plugins.model_tools.differences import Difference
from edgeloop_plugins.model_tools.latency import ROUNDS, verdict
from edgeloop_plugins.model_tools.parameters import CompareParameters, QuantizeParameters
from edgeloop_plugins.model_tools.quantize import quantize
from edgeloop_plugins.model_tools.results import Latency
from edgeloop_shared.errors import InvalidInputError, ModelError, NotFoundError


def compared(context: JobContext, *variants: str, inputs: str | None = None, samples: int = 4) -> Any:
    names = tuple(ModelPath(name) for name in variants)
    data = DataPath(inputs) if inputs else None
    return compare(CompareParameters(ModelPath("small.mnn"), names, data, samples), context)


def test_a_model_agrees_with_itself_and_is_not_faster_than_itself(context: JobContext, mnn_file: Path) -> None:
    result = compared(context, "small.mnn")

    (variant,) = result.variants
    (difference,) = variant.differences
    assert (difference.output, difference.max_abs, difference.mean_abs) == ("scores", 0.0, 0.0)
    assert (difference.cosine, difference.snr_db, difference.top1_agreement) == (pytest.approx(1.0), None, 1.0)
    assert variant.ratio == 1.0
    assert 0 < variant.latency.p50_ms <= variant.latency.p90_ms
    assert len(variant.latency.rounds_p50_ms) == ROUNDS
    assert result.samples == 4
    assert "random numbers" in result.inputs


def test_fewer_bits_are_smaller_and_further_away(context: JobContext, mnn_file: Path) -> None:
    for bits in (8, 4, 2):
        quantize(QuantizeParameters(ModelPath("small.mnn"), bits=bits), context)

    result = compared(context, "small-int8.mnn", "small-int4.mnn", "small-int2.mnn", samples=8)

    found = [variant.differences[0] for variant in result.variants]
    assert found[0].max_abs < found[1].max_abs < found[2].max_abs
    assert found[0].snr_db > found[1].snr_db > found[2].snr_db
    assert found[0].cosine > 0.99
    sizes = [variant.bytes for variant in result.variants]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[1] == (context.workspace / "small-int4.mnn").stat().st_size
    assert result.variants[1].ratio == sizes[1] / result.reference_bytes


@pytest.mark.parametrize("shape", [(6, 8, 16, 16), (6, 1, 8, 16, 16)], ids=["without batch axis", "with batch axis"])
@pytest.mark.parametrize("suffix", ["npz", "npy"])
def test_given_inputs_are_used_sample_by_sample(
    context: JobContext, mnn_file: Path, shape: tuple[int, ...], suffix: str
) -> None:
    array = np.random.default_rng(1).normal(size=shape)
    path = context.workspace / f"inputs.{suffix}"
    if suffix == "npz":
        np.savez(path, image=array)
    else:
        np.save(path, array)

    assert compared(context, "small.mnn", inputs=path.name, samples=50).samples == 6
    assert compared(context, "small.mnn", inputs=path.name, samples=3).samples == 3


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"picture": np.zeros((2, 8, 16, 16))}, "no array for the input 'image'; it holds picture"),
        ({"image": np.zeros((2, 3, 16, 16))}, r"has the shape \(2, 3, 16, 16\)"),
        ({"image": np.zeros((2, 8, 16, 16), complex)}, "holds complex128"),
        ({"image": np.array([{"a": 1}])}, "cannot be read as arrays"),
        ({"image": np.zeros((0, 8, 16, 16))}, "no complete sample"),
    ],
    ids=["name", "shape", "dtype", "objects", "none"],
)
def test_inputs_that_do_not_fit_are_refused(
    context: JobContext, mnn_file: Path, arrays: dict[str, Any], why: str
) -> None:
    np.savez(context.workspace / "inputs.npz", **arrays)

    with pytest.raises(InvalidInputError, match=why):
        compared(context, "small.mnn", inputs="inputs.npz")


@pytest.mark.parametrize("name", ["inputs.npz", "inputs.npy"])
def test_a_file_that_holds_no_arrays_is_refused(context: JobContext, mnn_file: Path, name: str) -> None:
    (context.workspace / name).write_bytes(b"no arrays here")

    with pytest.raises(InvalidInputError, match="cannot be read as arrays"):
        compared(context, "small.mnn", inputs=name)


def test_missing_inputs_and_models_are_named(context: JobContext, mnn_file: Path) -> None:
    with pytest.raises(NotFoundError, match=r"gone\.npz"):
        compared(context, "small.mnn", inputs="gone.npz")
    with pytest.raises(NotFoundError, match=r"gone\.mnn"):
        compared(context, "gone.mnn")


def test_an_onnx_model_is_converted_first(context: JobContext, onnx_file: Path, mnn_file: Path) -> None:
    result = compared(context, "small.onnx")

    assert result.variants[0].differences[0].max_abs == 0.0
    assert "converted to MNN first" in result.notes[0]
    assert sorted(path.name for path in context.workspace.iterdir()) == ["small.mnn", "small.onnx"]


def test_a_truncated_variant_is_refused(context: JobContext, mnn_file: Path) -> None:
    (context.workspace / "cut.mnn").write_bytes(mnn_file.read_bytes()[:40_000])

    with pytest.raises(ModelError, match=r"cut\.mnn is not an MNN model"):
        compared(context, "cut.mnn")


def test_the_differences_are_those_that_numpy_computes() -> None:
    generator = np.random.default_rng(5)
    reference = generator.normal(size=(20, 1, 10)).astype(np.float32)
    variant = reference + generator.normal(size=reference.shape).astype(np.float32) * 0.3
    difference = Difference("scores")
    for ours, theirs in zip(reference, variant, strict=True):
        difference.add(ours, theirs)

    found = difference.summary()

    a, b = reference.astype(float).ravel(), variant.astype(float).ravel()
    assert found.max_abs == pytest.approx(np.abs(a - b).max())
    assert found.mean_abs == pytest.approx(np.abs(a - b).mean())
    assert found.cosine == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert found.snr_db == pytest.approx(10 * np.log10((a @ a) / ((a - b) @ (a - b))))
    same = reference[:, 0].argmax(axis=1) == variant[:, 0].argmax(axis=1)
    assert found.top1_agreement == same.mean()
    assert 0.1 < same.mean() < 1


def test_values_that_are_not_finite_are_counted_apart() -> None:
    difference = Difference("features")
    difference.add(np.array([[1.0, 2.0, 3.0]]), np.array([[1.0, np.nan, np.inf]]))

    found = difference.summary()

    assert (found.not_finite, found.max_abs) == (2, 0.0)


def test_only_scores_have_a_top_1() -> None:
    difference = Difference("image")
    difference.add(np.zeros((1, 3, 4, 4)), np.zeros((1, 3, 4, 4)))

    assert difference.summary().top1_agreement is None
    assert difference.summary().cosine is None


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        (Latency(0.6, 0.8, (0.5, 0.6, 0.7)), "faster"),
        (Latency(1.6, 1.8, (1.5, 1.6, 1.7)), "slower"),
        (Latency(0.9, 1.2, (0.8, 0.9, 1.0)), "below the noise"),
        (Latency(1.0202, 1.03, (1.0201, 1.0202, 1.0203)), "below the noise"),
    ],
)
def test_a_difference_in_latency_counts_only_beyond_the_noise(variant: Latency, expected: str) -> None:
    reference = Latency(1.0, 1.1, (0.99, 1.0, 1.01))

    assert verdict(variant, reference) == expected
