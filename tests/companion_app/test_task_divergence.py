"""Signatures of tensors, the file that they travel in, and the stages of a script."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import edgeloop_task
from edgeloop_shared.errors import InvalidInputError, MessageError
from edgeloop_task import stages
from edgeloop_task.array_file import pack_arrays, unpack_arrays
from edgeloop_task.run_record import NamedTensor, RecordedOperator, RunRecord, pack_record, unpack_record
from edgeloop_task.tensor_comparison import TensorComparison
from edgeloop_task.tensor_signature import difference, row_slices, signature_of, unreadable

SHAPES: tuple[tuple[int, ...], ...] = (
    (1, 96, 28, 28),
    (1, 3, 64, 64),
    (4, 16, 9, 9),
    (1, 1280),
    (1, 2500, 4),
    (2, 5),
    (700,),
    (1500, 1200),
    (),
)


def random(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.float32]:
    return np.asarray(np.random.default_rng(seed).standard_normal(shape), np.float32)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1e-5, 0.1, 3.0])
def test_signatures_tell_how_far_tensors_are_apart(shape: tuple[int, ...], scale: float) -> None:
    reference = random(shape)
    other = np.asarray(reference + scale * random(shape, 1), np.float32)

    found = difference(signature_of(other), signature_of(reference))

    assert found is not None
    assert found.snr_db == pytest.approx(TensorComparison(other, reference).snr_db, abs=3.0)
    assert signature_of(other).sketch.nbytes <= 16 * 1024


@pytest.mark.parametrize("shape", SHAPES)
def test_equal_tensors_have_equal_signatures(shape: tuple[int, ...]) -> None:
    found = difference(signature_of(random(shape)), signature_of(random(shape).copy()))
    assert found is not None
    assert found.error == 0


def test_the_slice_that_differs_is_known() -> None:
    reference = random((1, 2500, 4))
    other = reference.copy()
    other[0, 1201] += 1

    found = difference(signature_of(other), signature_of(reference))

    assert found is not None
    row = int(found.row_errors.argmax())
    assert 1201 in range(2500)[row_slices((1, 2500, 4), row)]
    assert np.count_nonzero(found.row_errors) == 1


def test_a_single_changed_value_is_seen() -> None:
    reference = random((1, 8, 50, 50))
    other = reference.copy()
    other[0, 3, 17, 4] += 0.001
    found = difference(signature_of(other), signature_of(reference))
    assert found is not None
    assert 0 < found.error < 1e-4


def test_values_that_are_not_finite_are_counted_and_make_the_difference_infinite() -> None:
    reference = random((2, 3))
    other = reference.copy()
    other[0, 0], other[1, 2] = np.nan, -np.inf
    found = signature_of(other)

    assert (found.figures.nan_count, found.figures.inf_count) == (1, 1)
    assert np.isfinite(found.sketch).all()
    compared = difference(found, signature_of(reference))
    assert compared is not None
    assert compared.error == np.inf
    alike = difference(found, found)
    assert alike is not None
    assert alike.error == 0


def test_huge_numbers_and_whole_numbers_have_signatures() -> None:
    huge = signature_of(np.full((1, 4, 600), 3e38, np.float32))
    assert np.isfinite(huge.sketch).all()
    assert huge.figures.rms == pytest.approx(3e38, rel=1e-5)
    assert signature_of(np.arange(6).reshape(2, 3)).figures.max == 5
    assert signature_of(np.array([True, False])).figures.mean == 0.5


def test_other_shapes_and_unreadable_tensors_are_not_compared() -> None:
    assert difference(signature_of(random((2, 3))), signature_of(random((3, 2)))) is None
    assert difference(unreadable((2, 3)), signature_of(random((2, 3)))) is None


def test_a_record_comes_back_as_it_was_and_stores_equal_signatures_once() -> None:
    signature, empty = signature_of(random((1, 64, 8, 8))), signature_of(np.zeros((1, 0)))
    operator = RecordedOperator("conv", "Convolution", 2, (signature,), (signature, empty))
    named = (NamedTensor("image", signature),)
    record = RunRecord("MNN 3.6.1", "m.mnn", named, named, (operator,) * 10, named, "a note")

    data = pack_record(record)
    found = unpack_record(data)

    assert (found.engine, found.model, found.note) == ("MNN 3.6.1", "m.mnn", "a note")
    assert [(one.name, one.type, one.occurrence) for one in found.operators] == [("conv", "Convolution", 2)] * 10
    assert found.operators[0].inputs[0].figures == signature.figures
    assert np.array_equal(found.operators[9].outputs[0].sketch, signature.sketch)
    assert found.operators[0].outputs[1].figures.count == 0
    assert len(data) < 20_000


def test_arrays_come_back_as_they_were() -> None:
    arrays: dict[str, NDArray[Any]] = {
        "a": random((2, 3)),
        "b": np.arange(4, dtype=np.uint8),
        "empty": np.zeros((0, 4)),
    }
    found = unpack_arrays(pack_arrays(arrays))
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], arrays[name]) for name in ("a", "b"))
    assert found["empty"].size == 0


@pytest.mark.parametrize(
    "spoil", [lambda data: data[:-1], lambda data: b"x" + data[1:], lambda data: data[:10], lambda _: b""]
)
def test_a_spoiled_file_of_arrays_is_refused(spoil: Any) -> None:
    with pytest.raises(MessageError):
        unpack_arrays(spoil(pack_arrays({"a": random((2, 3))})))


def test_a_stage_passes_its_array_on_and_is_recorded_only_while_somebody_listens() -> None:
    image = random((4, 4, 3))
    assert edgeloop_task.stage("resize", image) is image
    with stages.recording() as recorder:
        kept = edgeloop_task.stage("resize", image)
        edgeloop_task.stage("list", [1, 2])
        edgeloop_task.stage("resize", image + 1)
        kept += 1  # a script may write into its own array
    edgeloop_task.stage("late", image)

    assert list(recorder.arrays) == ["resize", "list"]
    assert np.array_equal(recorder.arrays["resize"] + 1, image)


@pytest.mark.parametrize("name", ["", "x" * 101, "a\nb", 3])
def test_a_stage_needs_a_short_printable_name(name: Any) -> None:
    with pytest.raises(InvalidInputError, match="cannot be called"):
        edgeloop_task.stage(name, [1.0])


def test_a_stage_is_numbers() -> None:
    with stages.recording(), pytest.raises(InvalidInputError, match="no array of numbers"):
        edgeloop_task.stage("words", ["a", "b"])
