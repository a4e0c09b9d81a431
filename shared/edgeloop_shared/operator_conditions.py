"""Conditions over the statistics of tensors: a small, closed part of Python's expressions, compiled once.

`nan_count > 0`, `abs_max > 1e4 and iteration > 3`, `out[1].std == 0`, `in[0].nan_count == 0`. Nothing else of Python can be said
in them: no attribute but a statistic, no call but of the functions below, no text, no power. Arithmetic is that of floats as
IEEE 754 has it, so it never raises: a division by zero is infinite or NaN, and comparisons with NaN do not hold.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from edgeloop_shared.codec import printable
from edgeloop_shared.errors import InvalidInputError

MAX_CHARACTERS = 1000
MAX_TENSORS = 64
_MAX_DEPTH = 50

STATISTICS: Mapping[str, str] = {
    "count": "how many numbers the tensor has",
    "nan_count": "how many of them are NaN",
    "inf_count": "how many are infinite",
    "min": "the smallest finite one",
    "max": "the largest finite one",
    "mean": "the mean of the finite ones",
    "std": "their standard deviation",
    "abs_max": "the largest distance from zero",
    "p99_abs": "the 99th percentile of the distances from zero",
    "cosine_to_reference": "the cosine with the reference; 1 is alike",
    "snr_db_to_reference": "the reference over the difference from it, in dB",
    "rmse_to_reference": "the root of the mean square difference",
    "max_abs_difference_to_reference": "the largest difference",
    "max_relative_error_to_reference": "the largest difference over the largest magnitude of the reference",
}
"""What a condition may ask of a tensor; those with a reference are NaN where there is none of the same shape."""

_REFERENCE = "_to_reference"
COMPARISONS = {name: name.removesuffix(_REFERENCE) for name in STATISTICS if name.endswith(_REFERENCE)}
"""Those of them that need a reference, with the attribute of `TensorComparison` that they are."""

RUN_NAMES: Mapping[str, str] = {
    "iteration": "which run of the model this is, from 0",
    "index": "which operator this is, from 0 in the order of execution",
    "hits": "how often the breakpoint has hit before",
}
"""What a condition may ask of the run."""

TENSORS: Mapping[str, str] = {
    "out[N]": "output N of the operator, with a statistic behind it: `out[1].abs_max`",
    "in[N]": "input N of the operator: `in[0].nan_count == 0`",
}

FUNCTIONS: Mapping[str, str] = {
    "abs": "the distance from zero",
    "min": "the smallest of two or more",
    "max": "the largest of two or more",
    "isnan": "whether it is NaN",
    "isinf": "whether it is infinite",
    "sqrt": "the square root, NaN of a negative number",
    "log10": "the decimal logarithm, -inf of zero and NaN of a negative number",
}

_IN = "IN"  # stands for `in`, which is a word of Python's; as long as that, so that positions stay


class Values(Protocol):
    """What a condition looks at: one tensor of one operator, and the run around it."""

    def statistic(self, name: str, tensor: tuple[str, int] | None, /) -> float:
        """Return one of `STATISTICS` of the tensor (`("out", 1)`), or of the one being looked at when None."""

    def run_value(self, name: str, /) -> float:
        """Return one of `RUN_NAMES`."""


Term = Callable[[Values], Any]
"""A part of a condition, which tells its value for what is looked at."""


class Condition:
    """A condition that has been read. Raises `InvalidInputError` for a text that is none; it says where and why."""

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        reader = _Reader(self.text)
        self._term = reader.term
        self.needs_reference = reader.needs_reference
        self.tensors = frozenset(reader.tensors)
        """The tensors that it names: `("out", 1)`."""
        self.is_of_any_tensor = reader.has_bare_statistic
        """Whether it names a statistic without a tensor: it then holds when it does so for any of them."""

    def holds(self, values: Values) -> bool:
        """Return whether it holds for `values`."""
        return bool(self._term(values))

    def __str__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Condition) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


class _Reader:
    """Checks every node of an expression and makes a term of it: nothing of the text is ever run."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.needs_reference = False
        self.has_bare_statistic = False
        self.tensors: set[tuple[str, int]] = set()
        body = self._parsed()
        if not _is_truth(body):
            raise self._refusal(
                body, "it is a number, and a condition is true or false", "Compare it, as in `nan_count > 0`."
            )
        self.term = self._term(body, 0)

    def _parsed(self) -> ast.expr:
        if not self._text or len(self._text) > MAX_CHARACTERS:
            what = "is empty" if not self._text else f"has more than {MAX_CHARACTERS} characters"
            raise InvalidInputError(f"A condition {what}.", hint="Write one such as `nan_count > 0`.")
        if not self._text.isascii() or not self._text.isprintable():
            at = next(i for i, letter in enumerate(self._text) if not (letter.isascii() and letter.isprintable()))
            raise self._refusal_at(at, "it holds a character that no condition has")
        if match := re.search(rf"\b{_IN}\b", self._text):
            raise self._refusal_at(match.start(), f"there is no {_IN!r}", _known())
        try:
            return ast.parse(re.sub(r"\bin(?=\s*\[)", _IN, self._text), mode="eval").body
        except SyntaxError as error:
            raise self._refusal_at((error.offset or 1) - 1, "this is no expression") from None
        except (ValueError, RecursionError, MemoryError):
            raise self._refusal_at(0, "this is no expression, or nested too deeply") from None

    def _term(self, node: ast.expr, depth: int) -> Term:
        if depth > _MAX_DEPTH:
            raise self._refusal(node, "it is nested too deeply")

        def inner(*parts: ast.expr) -> tuple[Term, ...]:
            return tuple(self._term(part, depth + 1) for part in parts)

        match node:
            case ast.BoolOp(op, values):
                return _junction(inner(*values), is_all=isinstance(op, ast.And))
            case ast.UnaryOp(unary, operand) if type(unary) in _UNARY:
                return _applied(_UNARY[type(unary)], inner(operand))
            case ast.BinOp(left, binary, right) if type(binary) in _BINARY:
                return _applied(_BINARY[type(binary)], inner(left, right))
            case ast.Compare(left, comparisons, others) if all(type(one) in _COMPARISONS for one in comparisons):
                return _compared([_COMPARISONS[type(one)] for one in comparisons], inner(left, *others))
            case ast.Constant(int() | float() as value) if not isinstance(value, bool):
                number = self._number(node, value)
                return lambda _: number
            case ast.Name(name):
                return self._named(node, name)
            case ast.Attribute(ast.Subscript(ast.Name("out" | "IN" as side), ast.Constant(place)), statistic):
                return self._tensor(node, side, place, statistic)
            case ast.Call(ast.Name(name), arguments, []):
                self._check_call(node, name, arguments)
                return _applied(_FUNCTIONS[name], inner(*arguments))
        raise self._refusal(node, "this cannot be said in a condition", "See what can: docs/operators.md.")

    def _number(self, node: ast.expr, value: float) -> float:
        try:
            return float(value)
        except OverflowError:
            raise self._refusal(node, "the number is too large") from None

    def _named(self, node: ast.expr, name: str) -> Term:
        if name in RUN_NAMES:
            return lambda values: values.run_value(name)
        if name not in STATISTICS:
            raise self._refusal(node, f"there is no {name!r}", _known())
        self.has_bare_statistic = True
        self.needs_reference |= name in COMPARISONS
        return lambda values: values.statistic(name, None)

    def _tensor(self, node: ast.expr, side: str, number: object, statistic: str) -> Term:
        if type(number) is not int or not 0 <= number < MAX_TENSORS:
            raise self._refusal(node, "a tensor is named by its number, from 0", "As in `out[1].abs_max`.")
        if statistic not in STATISTICS:
            raise self._refusal(node, f"a tensor has no {statistic!r}", _known())
        if statistic in COMPARISONS:
            if side == _IN:
                raise self._refusal(node, "references are of outputs, not of inputs", "Ask it of `out[0]`.")
            self.needs_reference = True
        tensor = ("in" if side == _IN else "out", number)
        self.tensors.add(tensor)
        return lambda values: values.statistic(statistic, tensor)

    def _check_call(self, node: ast.expr, name: str, arguments: list[ast.expr]) -> None:
        if name not in FUNCTIONS:
            raise self._refusal(node, f"there is no function {name!r}", f"There are {', '.join(FUNCTIONS)}.")
        takes_several = name in ("min", "max")
        if any(isinstance(argument, ast.Starred) for argument in arguments) or (
            len(arguments) < 2 if takes_several else len(arguments) != 1
        ):
            raise self._refusal(node, f"{name} takes {'two or more numbers' if takes_several else 'one number'}")

    def _refusal(self, node: ast.expr, why: str, hint: str = "") -> InvalidInputError:
        return self._refusal_at(node.col_offset, why, hint)

    def _refusal_at(self, position: int, why: str, hint: str = "") -> InvalidInputError:
        position = max(0, min(position, len(self._text) - 1))
        rest = printable(self._text[position:], 20)
        return InvalidInputError(
            f"The condition {printable(self._text, 80)!r} cannot be used: at character {position + 1}, `{rest}`: {why}.",
            hint=hint or "A condition compares statistics, as in `nan_count > 0 or abs_max > 1e4`.",
            details={"fields": [{"field": "when", "message": why}], "position": position},
        )


def _is_truth(node: ast.expr) -> bool:
    """Return whether an expression is true or false rather than a number."""
    match node:
        case ast.Compare() | ast.UnaryOp(ast.Not()) | ast.Call(ast.Name("isnan" | "isinf")):
            return True
        case ast.BoolOp(_, values):
            return all(_is_truth(value) for value in values)
    return False


def _junction(terms: Sequence[Term], *, is_all: bool) -> Term:
    """Return Python's `and` or `or` of terms: those behind the deciding one are not asked."""

    def decide(values: Values) -> Any:
        found: Any = is_all
        for term in terms:
            found = term(values)
            if bool(found) is not is_all:
                break
        return found

    return decide


def _applied(function: Callable[..., Any], terms: Sequence[Term]) -> Term:
    if len(terms) == 1:
        (term,) = terms
        return lambda values: function(term(values))
    return lambda values: function(*(term(values) for term in terms))


def _compared(comparisons: Sequence[Callable[[Any, Any], bool]], terms: Sequence[Term]) -> Term:
    """Return Python's chain of comparisons: `a < b < c` asks `b` once, and `c` only if `a < b`."""

    def compare(values: Values) -> bool:
        left = terms[0](values)
        for holds, term in zip(comparisons, terms[1:], strict=True):
            right = term(values)
            if not holds(left, right):
                return False
            left = right
        return True

    return compare


def _known() -> str:
    return f"There are {', '.join((*RUN_NAMES, *STATISTICS))}, and `out[N]` and `in[N]` before a statistic."


def _divide(a: float, b: float) -> float:
    if b:
        return a / b
    return math.nan if not a or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1, b)


def _whole(operation: Callable[[float, float], float]) -> Callable[[float, float], float]:
    def careful(a: float, b: float) -> float:
        return operation(a, b) if b and math.isfinite(a) and not math.isnan(b) else math.nan

    return careful


def _smallest(*values: float) -> float:
    return math.nan if any(map(math.isnan, values)) else min(values)


def _largest(*values: float) -> float:
    return math.nan if any(map(math.isnan, values)) else max(values)


def _sqrt(value: float) -> float:
    return math.sqrt(value) if value >= 0 else math.nan


def _log10(value: float) -> float:
    if value > 0:
        return math.log10(value)
    return -math.inf if value == 0 else math.nan


_UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.Not: operator.not_,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
_BINARY: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: _divide,
    ast.FloorDiv: _whole(operator.floordiv),
    ast.Mod: _whole(operator.mod),
}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_FUNCTIONS: Mapping[str, Callable[..., float]] = {
    "abs": abs,
    "min": _smallest,
    "max": _largest,
    "isnan": math.isnan,
    "isinf": math.isinf,
    "sqrt": _sqrt,
    "log10": _log10,
}
