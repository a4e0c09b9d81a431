"""What experiments say, and that one that tells nothing says nothing."""

from __future__ import annotations

import numpy as np
import pytest
from plugins.divergence.test_divergence_matching import chain

from edgeloop_plugins.divergence import causes
from edgeloop_plugins.divergence.matching import Pair, matched


@pytest.fixture
def pair() -> Pair:
    """An operator whose output is off by about 0.1 of it."""
    ((found,), _) = matched(chain([0.1]), chain([0]), {})
    return found


def test_an_operator_that_agrees_on_the_references_inputs_was_given_wrong_ones(pair: Pair) -> None:
    assert list(causes.from_own_error(pair, 0.0, 1)) == [
        "given the reference's input, it agrees exactly: the difference was carried into it"
    ]
    (carried,) = causes.from_own_error(pair, 0.001, 2)
    assert "given the reference's inputs, it agrees to 60 dB" in carried


def test_an_operator_that_differs_on_the_references_inputs_is_wrong_itself(pair: Pair) -> None:
    (wrong,) = causes.from_own_error(pair, 0.1, 1)
    assert wrong.endswith("agrees only to 20 dB: the operator itself is wrong")


@pytest.mark.parametrize("own", [None, 8.0])
def test_an_experiment_that_was_not_done_or_went_wrong_says_nothing(pair: Pair, own: float | None) -> None:
    assert list(causes.from_own_error(pair, own, 1)) == []


def test_the_precision_explains_what_fp32_does_not_show(pair: Pair) -> None:
    ((good,), _) = matched(chain([1e-6]), chain([0]), {})
    (explained,) = causes.from_plain_options(pair, good, "cpu", "low")
    assert explained.endswith("precision low explains it")
    (other,) = causes.from_plain_options(pair, pair, "opencl", "low")
    assert other.endswith("it is not precision low or backend opencl")
    assert list(causes.from_plain_options(pair, None, "cpu", "low")) == []


def test_a_factor_and_zeros_are_recognised() -> None:
    reference = np.random.default_rng(0).standard_normal(100)
    assert list(causes.from_tensors(reference * 1.5, reference)) == ["its output is 1.5 times the reference's"]
    assert list(causes.from_tensors(reference * 0, reference)) == ["its output is zero everywhere"]
    assert list(causes.from_tensors(reference, reference)) == []
