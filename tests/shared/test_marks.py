"""The marks of what doctors find."""

from __future__ import annotations

import pytest

from edgeloop_shared.marks import Mark, sign, worst


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ((), Mark.OK),
        ((Mark.OK, Mark.WARNING, Mark.OK), Mark.WARNING),
        ((Mark.PROBLEM, Mark.WARNING, Mark.OK), Mark.PROBLEM),
    ],
)
def test_one_problem_outweighs_everything(marks: tuple[Mark, ...], expected: Mark) -> None:
    assert worst(marks) is expected


def test_a_terminal_that_cannot_show_the_sign_gets_a_plain_one() -> None:
    assert [sign(mark, "utf-8") for mark in Mark] == ["✓", "!", "✗"]
    assert [sign(mark, None) for mark in Mark] == ["+", "!", "x"]
