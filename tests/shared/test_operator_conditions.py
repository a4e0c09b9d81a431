"""Conditions and selectors: what they say, and what cannot be said in them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgeloop_shared.errors import InvalidInputError
from edgeloop_shared.operator_conditions import FUNCTIONS, MAX_CHARACTERS, RUN_NAMES, STATISTICS, Condition
from edgeloop_shared.operator_selector import Selector, parse_selector


class Given:
    """Statistics of a tensor and of a run that a test has made up."""

    def __init__(self, **values: float) -> None:
        self._values = values
        self.asked: list[tuple[str, tuple[str, int] | None]] = []

    def statistic(self, name: str, tensor: tuple[str, int] | None, /) -> float:
        self.asked.append((name, tensor))
        return self._values.get(name, math.nan)

    def run_value(self, name: str, /) -> float:
        return self._values.get(name, math.nan)


VALUES = {"nan_count": 2, "abs_max": 5.0, "std": 0.0, "mean": 3.0, "min": -5.0, "max": 4.0, "iteration": 7, "hits": 0}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("nan_count > 0", True),
        ("nan_count > 2", False),
        ("std == 0 and iteration > 3", True),
        ("std != 0 or iteration % 5 == 2", True),
        ("not nan_count == 2", False),
        ("1 < mean <= 3", True),
        ("max - min == 9 and abs(min) == 5", True),
        ("max(mean, max, 0) == 4 and min(mean, 2) == 2", True),
        ("out[1].mean == 3 and in[0].nan_count == 2", True),
        ("in [0].mean > 0", True),
        ("mean / std > 1e300", True),
        ("-mean / std < -1e300", True),
        ("isnan(std / std) and isnan(mean % 0) and isnan(mean // 0)", True),
        ("isinf(mean / 0) and mean // 2 == 1", True),
        ("sqrt(mean - 4) > 0 or log10(-1) > 0", False),
        ("sqrt(4) == 2 and log10(100) == 2 and isinf(log10(0))", True),
        ("cosine_to_reference < 2", False),
        ("isnan(cosine_to_reference)", True),
        ("max(mean, p99_abs) > 0", False),
        ("1e308 * 10 > 0 and hits < 1", True),
    ],
)
def test_a_condition_means_what_it_says(text: str, holds: bool) -> None:
    assert Condition(text).holds(Given(**VALUES)) is holds


def test_only_what_decides_is_asked_for() -> None:
    values = Given(**VALUES)
    assert not Condition("std > 0 and p99_abs > 0 and out[1].mean > 0").holds(values)
    assert values.asked == [("std", None)]


def test_a_condition_says_what_it_needs() -> None:
    mixed = Condition("nan_count > 0 and in[2].mean > 0 or out[0].cosine_to_reference < 1")

    assert mixed.tensors == {("in", 2), ("out", 0)}
    assert mixed.needs_reference
    assert mixed.is_of_any_tensor
    assert not Condition("iteration > 2").is_of_any_tensor
    assert Condition(" mean > 0 ") == Condition("mean > 0") != Condition("mean > 1")


@pytest.mark.parametrize(
    ("text", "complaint", "position"),
    [
        ("", "is empty", None),
        ("mean", "at character 1, `mean`: it is a number", 0),
        ("mean > 0 and std", "at character 1", 0),
        ("mean > 0 and banana > 1", "at character 14, `banana > 1`: there is no 'banana'", 13),
        ("out[0].banana > 1", "has no 'banana'", 0),
        ("out.mean > 1", "cannot be said", 0),
        ("out[-1].mean > 1", "cannot be said|by its number", 0),
        ("out[1.5].mean > 1", "by its number", 0),
        ("out[99999].mean > 1", "by its number", 0),
        ("in[0].cosine_to_reference < 1", "references are of outputs", 0),
        ("mean >", "no expression", None),
        ("mean > 0; mean", "no expression", None),
        ("x = 1", "no expression", None),
        ("mean ** 2 > 1", "cannot be said", 0),
        ("mean > 'a'", "cannot be said", 7),
        ("mean > True", "cannot be said", 7),
        ("mean is 0", "cannot be said", 0),
        ("__import__('os').system('x') > 0", "cannot be said", 0),
        ("eval('1') > 0", "no function 'eval'", 0),
        ("abs(mean, 1) > 0", "abs takes one number", 0),
        ("min(mean) > 0", "min takes two or more", 0),
        ("max(*[1, 2], 3) > 0", "max takes", 0),
        ("min(mean, key=abs) > 0", "cannot be said", 0),
        ("[1][0] > 0", "cannot be said", 0),
        ("(lambda: 1)() > 0", "cannot be said", 0),
        ("mean.real > 0", "cannot be said", 0),
        ("IN[0].mean > 0", "there is no 'IN'", 0),
        ("ｍean > 0", "no condition has", 0),
        ("mean > 0\n", "", None),
        ("mean >\n0", "no condition has", 6),
        (f"mean > {'9' * 400}", "too large", 7),
        ("(" * 400 + "mean" + ")" * 400 + " > 0", "no expression|nested", None),
        ("-" * 300 + "mean > 0", "nested too deeply", None),
        ("mean > 0" + " " * MAX_CHARACTERS + "or mean > 1", "more than", None),
    ],
)
def test_anything_else_is_refused_with_its_place(text: str, complaint: str, position: int | None) -> None:
    if not complaint:
        assert Condition(text).text == text.strip()
        return
    with pytest.raises(InvalidInputError, match=complaint) as caught:
        Condition(text)
    assert caught.value.hint
    if position is not None:
        assert caught.value.details["position"] == position


WORDS = [
    *STATISTICS,
    *RUN_NAMES,
    *FUNCTIONS,
    "out[0].",
    "in[1].",
    "(",
    ")",
    ",",
    "and",
    "or",
    "not",
    "<",
    "==",
    "1",
    "0",
]
WORDS += [
    "-",
    "*",
    "**",
    "/",
    "//",
    "%",
    "1e4",
    "if",
    "else",
    "lambda",
    ":",
    "[",
    "]",
    ".",
    "'",
    "\\",
    "{",
    "}",
    "#",
    ":=",
    "\0",
]


@given(st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join) | st.text(max_size=60))
@example("mean" + "[0]" * 300)
def test_whatever_is_written_is_a_condition_or_invalid_input(text: str) -> None:
    try:
        condition = Condition(text)
    except InvalidInputError:
        return
    assert condition.holds(Given(**VALUES)) in (True, False)
    assert Condition(condition.text) == condition


NAMES = st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=30).filter(str.isprintable)
PATTERNS = NAMES | st.sampled_from(
    ["#12", "type:Conv", "op:x", '"a"', "a b", "before", "@3", "\\", "conv*[ab]?", " x "]
)
NUMBERS = st.integers(0, 2**31 - 1)


@st.composite
def selectors(draw: st.DrawFn) -> Selector:
    kind: Any = draw(st.sampled_from(["name", "type", "index"]))
    first = draw(st.just(0) | NUMBERS)
    return Selector(
        kind,
        str(draw(NUMBERS)) if kind == "index" else draw(PATTERNS),
        draw(st.sampled_from([None, "before", "after"])),
        first,
        draw(st.none() | st.integers(first, 2**31 - 1)),
        draw(st.just(1) | st.integers(1, 2**31 - 1)),
        draw(st.just("*") | PATTERNS),
    )


@given(selectors())
def test_a_selector_is_read_back_from_its_text(selector: Selector) -> None:
    assert parse_selector(str(selector)) == selector


PARTS = [
    "op:",
    "conv*",
    "type:",
    "#3",
    "#",
    "before",
    "after",
    "@",
    "@3",
    "@3..",
    "@5..2",
    "every",
    "2",
    "0",
    "in",
    "x.mnn",
    '"',
    "\\",
]


@given(
    st.lists(st.sampled_from(PARTS), max_size=8).map(" ".join)
    | st.lists(st.sampled_from(PARTS)).map("".join)
    | st.text()
)
def test_whatever_is_written_is_a_selector_or_invalid_input(text: str) -> None:
    try:
        selector = parse_selector(text)
    except InvalidInputError:
        return
    assert parse_selector(str(selector)) == selector


@pytest.mark.parametrize(
    ("text", "canonical", "expected"),
    [
        ("conv*", "op:conv*", Selector("name", "conv*")),
        ("op:type:Conv* before", "op:type:Conv* before", Selector("type", "Conv*", "before")),
        (" #12  after @3 ", "op:#12 after @3", Selector("index", "12", "after", 3, 3)),
        (
            "* @10..20 every 5 in digits*.mnn",
            "op:* @10..20 every 5 in digits*.mnn",
            Selector("name", "*", None, 10, 20, 5, "digits*.mnn"),
        ),
        ('"#12" @7..', 'op:"#12" @7..', Selector("name", "#12", None, 7)),
        ('type:"a \\"b\\"" in "c d"', 'op:type:"a \\"b\\"" in "c d"', Selector("type", 'a "b"', model="c d")),
        ("/head/Conv_output_0", "op:/head/Conv_output_0", Selector("name", "/head/Conv_output_0")),
    ],
)
def test_selectors_are_written_in_one_way(text: str, canonical: str, expected: Selector) -> None:
    assert parse_selector(text) == expected
    assert str(expected) == canonical


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "names no operator"),
        ("op:", "names no operator"),
        ("type:", "names no operator"),
        ('"conv', "names no operator"),
        ("conv sometimes", "`sometimes` is no part of a selector, or stands in the wrong place"),
        ("conv @3 before", "`before` is no part"),
        ("conv @5..2", "the last run lies before the first one"),
        ("conv every 0", "`every` from 1"),
        ("conv @9999999999", "runs are counted from 0"),
        ("conv in", "`in` is no part"),
        ("conv\tbefore", "cannot be printed"),
        ("c" * 600, "longer than"),
    ],
)
def test_a_selector_that_is_none_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(InvalidInputError, match=complaint) as caught:
        parse_selector(text)
    assert "op:conv*" in caught.value.hint


def test_types_are_matched_with_and_without_what_mnn_adds() -> None:
    for pattern in ("Convolution", "Conv*", "Convolution * DT_INT8 *"):
        assert Selector("type", pattern).operator_matches("conv1", "Convolution [ DT_INT8 ]", 0)
    assert not Selector("type", "convolution").operator_matches("conv1", "Convolution", 0)
