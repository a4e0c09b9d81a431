"""Conditions over the statistics of tensors: a small, closed part of Python's expressions, compiled once.

`nan_count > 0`, `abs_max > 1e4 and iteration > 3`, `out[1].std == 0`, `in[0].nan_count == 0`. Nothing else of Python can be said
in them: no attribute but a statistic, no call but of the functions below, no text, no power. Arithmetic is that of floats as
IEEE 754 has it, so it never raises: a division by zero is infinite or NaN, and comparisons with NaN do not hold.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Mapping
from types import CodeType
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
_UNARY = (ast.Not, ast.USub, ast.UAdd)
_BINARY = (ast.Add, ast.Sub, ast.Mult)
_CAREFUL: Mapping[type[ast.operator], str] = {ast.Div: "_divide", ast.FloorDiv: "_floor", ast.Mod: "_modulo"}
_COMPARISONS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)


class Values(Protocol):
    """What a condition looks at: one tensor of one operator, and the run around it."""

    def statistic(self, name: str, tensor: tuple[str, int] | None, /) -> float:
        """Return one of `STATISTICS` of the tensor (`("out", 1)`), or of the one being looked at when None."""

    def run_value(self, name: str, /) -> float:
        """Return one of `RUN_NAMES`."""


class Condition:
    """A condition that has been read. Raises `InvalidInputError` for a text that is none; it says where and why."""

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        reader = _Reader(self.text)
        self._code = reader.code
        self.needs_reference = reader.needs_reference
        self.tensors = frozenset(reader.tensors)
        """The tensors that it names: `("out", 1)`."""
        self.is_of_any_tensor = reader.has_bare_statistic
        """Whether it names a statistic without a tensor: it then holds when it does so for any of them."""

    def holds(self, values: Values) -> bool:
        """Return whether it holds for `values`."""
        names = {**_HELPERS, "_statistic": values.statistic, "_run": values.run_value}
        return bool(eval(self._code, names))  # noqa: S307  # compiled from a closed list of nodes

    def __str__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Condition) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


class _Reader:
    """Checks every node of an expression and rewrites it to calls of `_statistic`, `_run` and the functions."""

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
        tree = ast.fix_missing_locations(ast.Expression(self._checked(body, 0)))
        self.code: CodeType = compile(tree, "<condition>", "eval")

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

    def _checked(self, node: ast.expr, depth: int) -> ast.expr:
        if depth > _MAX_DEPTH:
            raise self._refusal(node, "it is nested too deeply")

        def inner(part: ast.expr) -> ast.expr:
            return self._checked(part, depth + 1)

        match node:
            case ast.BoolOp(op, values):
                return ast.BoolOp(op, [inner(value) for value in values])
            case ast.UnaryOp(unary, operand) if isinstance(unary, _UNARY):
                return ast.UnaryOp(unary, inner(operand))
            case ast.BinOp(left, binary, right) if isinstance(binary, _BINARY):
                return ast.BinOp(inner(left), binary, inner(right))
            case ast.BinOp(left, binary, right) if type(binary) in _CAREFUL:
                return _call(_CAREFUL[type(binary)], inner(left), inner(right))
            case ast.Compare(left, comparisons, others) if all(isinstance(one, _COMPARISONS) for one in comparisons):
                return ast.Compare(inner(left), comparisons, [inner(other) for other in others])
            case ast.Constant(int() | float() as value) if not isinstance(value, bool):
                return self._number(node, value)
            case ast.Name(name):
                return self._named(node, name)
            case ast.Attribute(ast.Subscript(ast.Name("out" | "IN" as side), ast.Constant(number)), statistic):
                return self._tensor(node, side, number, statistic)
            case ast.Call(ast.Name(name), arguments, []):
                self._check_call(node, name, arguments)
                return _call(f"_{name}", *(inner(argument) for argument in arguments))
        raise self._refusal(node, "this cannot be said in a condition", "See what can: docs/operators.md.")

    def _number(self, node: ast.expr, value: float) -> ast.expr:
        try:
            return ast.Constant(float(value))
        except OverflowError:
            raise self._refusal(node, "the number is too large") from None

    def _named(self, node: ast.expr, name: str) -> ast.expr:
        if name in RUN_NAMES:
            return _call("_run", ast.Constant(name))
        if name not in STATISTICS:
            raise self._refusal(node, f"there is no {name!r}", _known())
        self.has_bare_statistic = True
        self.needs_reference |= name in COMPARISONS
        return _call("_statistic", ast.Constant(name), ast.Constant(None))

    def _tensor(self, node: ast.expr, side: str, number: object, statistic: str) -> ast.expr:
        if type(number) is not int or not 0 <= number < MAX_TENSORS:
            raise self._refusal(node, "a tensor is named by its number, from 0", "As in `out[1].abs_max`.")
        if statistic not in STATISTICS:
            raise self._refusal(node, f"a tensor has no {statistic!r}", _known())
        if statistic in COMPARISONS:
            if side == _IN:
                raise self._refusal(node, "references are of outputs, not of inputs", "Ask it of `out[0]`.")
            self.needs_reference = True
        side = "in" if side == _IN else "out"
        self.tensors.add((side, number))
        return _call(
            "_statistic", ast.Constant(statistic), ast.Tuple([ast.Constant(side), ast.Constant(number)], ast.Load())
        )

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


def _call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])


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


_HELPERS: Mapping[str, Any] = {
    "__builtins__": {},
    "_divide": _divide,
    "_floor": _whole(lambda a, b: a // b),
    "_modulo": _whole(lambda a, b: a % b),
    "_abs": abs,
    "_min": _smallest,
    "_max": _largest,
    "_isnan": math.isnan,
    "_isinf": math.isinf,
    "_sqrt": _sqrt,
    "_log10": _log10,
}
