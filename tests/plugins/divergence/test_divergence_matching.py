"""Which operators stand for each other, and what their differences say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeloop_plugins.divergence.findings import first_finding
from edgeloop_plugins.divergence.matching import matched
from edgeloop_task.run_record import RecordedOperator
from edgeloop_task.tensor_signature import TensorSignature, signature_of

Array = NDArray[np.float32]


def tensor(seed: int, noise: float = 0.0, width: int = 64) -> Array:
    values = np.random.default_rng(seed).standard_normal((1, 8, width))
    return np.asarray(values + noise * np.random.default_rng(seed + 1000).standard_normal(values.shape), np.float32)


def operator(name: str, kind: str, inputs: Sequence[Array], output: Array, occurrence: int = 1) -> RecordedOperator:
    def signed(arrays: Sequence[Array]) -> tuple[TensorSignature, ...]:
        return tuple(signature_of(array) for array in arrays)

    return RecordedOperator(name, kind, occurrence, signed(inputs), signed([output]))


def chain(
    noises: Sequence[float], names: Sequence[str] | None = None, kind: str = "Convolution"
) -> list[RecordedOperator]:
    """Return operators, each of which reads the output of the one before; `noises` are the relative errors of their outputs."""
    tensors = [tensor(0), *(tensor(number + 1, noise) for number, noise in enumerate(noises))]
    return [
        operator(names[number] if names else f"op{number}", kind, [tensors[number]], tensors[number + 1])
        for number in range(len(noises))
    ]


def test_operators_of_one_name_stand_for_each_other_whatever_was_added_between_them() -> None:
    reference = chain([0, 0, 0])
    added = operator("cast", "FloatToInt8 [ DT_INT8 ]", [tensor(1)], tensor(1))
    found = chain([0, 0, 0], kind="ConvInt8 [ DT_INT8 ]")

    pairs, unmatched = matched([found[0], added, *found[1:]], reference, {})

    assert [(pair.operator.name, pair.reference.name, pair.index) for pair in pairs] == [
        ("op0", "op0", 0),
        ("op1", "op1", 2),
        ("op2", "op2", 3),
    ]
    assert unmatched == ["cast (FloatToInt8) on the device"]


def test_operators_whose_names_are_lost_stand_for_each_other_by_type_and_shape_in_order() -> None:
    found, reference = chain([0, 0, 0], names=("17", "18", "19")), chain([0, 0, 0], kind="ConvInt8")

    pairs, unmatched = matched(found, reference[:2], {})

    assert [(pair.operator.name, pair.reference.name) for pair in pairs] == [("17", "op0"), ("18", "op1")]
    assert unmatched == ["19 (Convolution) on the device"]


def test_of_several_that_a_fused_operator_may_stand_for_the_nearest_is_taken() -> None:
    relu = np.maximum(tensor(1), 0)
    reference = [operator("conv", "Conv", [], tensor(1)), operator("relu", "Relu", [], relu)]

    pairs, _ = matched([operator("conv", "Convolution", [tensor(0)], relu)], reference, {"conv": ("conv", "relu")})

    assert [(pair.reference.name, pair.error_out) for pair in pairs] == [("relu", 0.0)]


def test_errors_of_inputs_come_from_who_made_them_where_the_reference_tells_none() -> None:
    found = chain([0.1, 0.2])
    reference = [operator(one.name, "Conv", [], tensor(number + 1)) for number, one in enumerate(found)]

    pairs, _ = matched(found, reference, {})

    assert pairs[1].error_in == pairs[0].error_out
    assert pairs[0].error_in is None


def finding(noises: Sequence[float], bound: float = 1e-3) -> Any:
    pairs, _ = matched(chain(noises), chain([0] * len(noises)), {})
    return first_finding(pairs, bound)


def test_an_error_that_an_operator_adds_is_its_own() -> None:
    found = finding([1e-6, 1e-6, 0.3, 0.4])
    assert (found.kind, found.pair.operator.name, found.is_clear) == ("operator", "op2", True)


def test_an_operator_that_is_wrong_stands_out_of_a_noise_that_is_within_bounds() -> None:
    found = finding([0.02, 0.03, 0.9, 0.8], bound=0.1)
    assert (found.kind, found.pair.operator.name, found.is_clear) == ("operator", "op2", True)


def test_errors_that_grow_little_by_little_are_a_drift_with_its_largest_parts() -> None:
    found = finding([4e-4, 6e-4, 9e-4, 14e-4, 20e-4])
    assert (found.kind, found.pair.operator.name) == ("drift", "op3")
    assert found.contributors[0].operator.name == "op3"


def test_what_is_within_the_bound_is_nothing() -> None:
    assert finding([1e-4, 2e-4]).kind == "none"


def test_a_constant_that_differs_is_told_apart_from_activations() -> None:
    weights = tensor(50)
    found = operator("op0", "Convolution", [tensor(0), weights * 2], tensor(1))
    reference = operator("op0", "Convolution", [tensor(0), weights], tensor(1))

    ((pair,), _) = matched([found], [reference], {})

    assert pair.constants is not None
    assert 0.5 < pair.constants[1] < 2
    assert pair.error_in == 0
