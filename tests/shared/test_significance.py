"""Whether a measured difference is more than noise."""

from __future__ import annotations

import pytest

from edgeloop_shared.significance import accuracy_difference, latency_difference


def answers(right: int, wrong: int) -> list[bool]:
    return [True] * right + [False] * wrong


def test_one_lost_sample_is_noise() -> None:
    difference = accuracy_difference(answers(350, 10), answers(351, 9))
    assert difference.value == pytest.approx(-1 / 360)
    assert difference.is_noise


def test_ten_lost_samples_and_none_gained_are_not_noise() -> None:
    difference = accuracy_difference(answers(340, 20), answers(350, 10))
    assert not difference.is_noise
    assert "p = 0.002" in difference.reason  # 2 * 0.5**10 = 0.00195


def test_samples_that_are_gained_and_lost_in_equal_number_are_noise() -> None:
    difference = accuracy_difference([True, False] * 30, [False, True] * 30)
    assert (difference.value, difference.is_noise) == (0, True)


def test_the_same_answers_do_not_differ_at_all() -> None:
    difference = accuracy_difference(answers(3, 1), answers(3, 1))
    assert (difference.value, difference.is_noise) == (0, False)


def test_models_that_answered_other_samples_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="same samples"):
        accuracy_difference([True], [True, False])


def test_rounds_that_overlap_are_noise() -> None:
    assert latency_difference([1.0, 1.2, 1.1], [1.15, 1.3, 1.25]).is_noise


def test_medians_that_hardly_differ_are_noise_however_steady_they_are() -> None:
    assert latency_difference([1.001, 1.002, 1.003], [1.004, 1.005, 1.006]).is_noise


def test_rounds_that_lie_apart_are_a_difference_of_medians() -> None:
    difference = latency_difference([2.0, 2.2, 2.1], [1.0, 1.1, 1.2])
    assert not difference.is_noise
    assert difference.value == pytest.approx(1.0)
