"""Which operator of one run stands for which of another: by name, and where names do not tell, by type and shape in order."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgeloop_task.run_record import RecordedOperator
from edgeloop_task.tensor_signature import SignatureDifference, TensorSignature, difference

_NAMED_ENOUGH = 0.3  # of the shorter run's operators; with fewer common names the names mean nothing
_SUFFIX = re.compile(r" \[.*\]$")  # " [ DT_INT8 ]": how, not what
_ALIKE = {"ConvInt8": "Convolution", "DepthwiseConvInt8": "ConvolutionDepthwise", "EltwiseInt8": "Eltwise"}
Key = tuple[str, int]


@dataclass(frozen=True)
class Pair:
    """An operator of the device's run and that of the reference's which stands for it.

    `error_in` and `error_out` are the largest relative errors of its activations and of its outputs, None where they cannot be
    compared; `constants` are relative errors of its constant inputs (weights, if the model keeps them so), by number.
    """

    index: int
    operator: RecordedOperator
    reference: RecordedOperator
    error_in: float | None
    error_out: float | None
    output: int = 0
    difference: SignatureDifference | None = None
    constants: Mapping[int, float] | None = None

    @property
    def key(self) -> Key:
        """The operator's name and occurrence."""
        return self.operator.name, self.operator.occurrence


def plain_type(kind: str) -> str:
    """Return an operator's type without how it is computed."""
    bare = _SUFFIX.sub("", kind)
    return _ALIKE.get(bare, bare)


def matched(
    operators: Sequence[RecordedOperator],
    references: Sequence[RecordedOperator],
    alternatives: Mapping[str, tuple[str, ...]],
) -> tuple[list[Pair], list[str]]:
    """Return the pairs in the order of `operators`, and the operators of either side that are in none, in words."""
    found = _by_name(operators, references, alternatives)
    shorter = min(len(operators), len(references))
    if shorter and len(found) < _NAMED_ENOUGH * shorter:
        found = _by_order(operators, references)
    produced: dict[bytes, float | None] = {}
    pairs = []
    for index, operator in enumerate(operators):
        reference = _closest(operator, [references[at] for at in found.get(index, ())])
        pair = None if reference is None else _pair(index, operator, reference, produced)
        if pair is not None:
            pairs.append(pair)
        for signature in operator.outputs:
            produced[_identity(signature)] = None if pair is None else pair.error_out
    used = {id(pair.operator) for pair in pairs}
    used_references = {at for ats in found.values() for at in ats}
    unmatched = [f"{one.name} ({plain_type(one.type)}) on the device" for one in operators if id(one) not in used]
    unmatched += [
        f"{one.name} ({plain_type(one.type)}) in the reference"
        for at, one in enumerate(references)
        if at not in used_references
    ]
    return pairs, unmatched


def _by_name(
    operators: Sequence[RecordedOperator],
    references: Sequence[RecordedOperator],
    alternatives: Mapping[str, tuple[str, ...]],
) -> dict[int, list[int]]:
    places = {(one.name, one.occurrence): at for at, one in enumerate(references)}
    found = {}
    for index, operator in enumerate(operators):
        names = alternatives.get(operator.name, (operator.name,))
        ats = [places[name, operator.occurrence] for name in names if (name, operator.occurrence) in places]
        if ats:
            found[index] = ats
    return found


def _by_order(operators: Sequence[RecordedOperator], references: Sequence[RecordedOperator]) -> dict[int, list[int]]:
    ours, theirs = ([_kind(one) for one in side] for side in (operators, references))
    blocks = difflib.SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks()
    return {block.a + at: [block.b + at] for block in blocks for at in range(block.size)}


def _kind(operator: RecordedOperator) -> tuple[str, tuple[int, ...]]:
    return plain_type(operator.type), operator.outputs[0].figures.shape if operator.outputs else ()


def _closest(operator: RecordedOperator, references: Sequence[RecordedOperator]) -> RecordedOperator | None:
    """Return that reference whose output is nearest to the operator's: fused operators have several that may be meant."""
    if len(references) < 2:
        return references[0] if references else None
    errors = [(_worst(operator.outputs, one.outputs)[0], one) for one in references]
    known = [(error, one) for error, one in errors if error is not None]
    return min(known, key=lambda found: found[0])[1] if known else None


def _pair(
    index: int, operator: RecordedOperator, reference: RecordedOperator, produced: Mapping[bytes, float | None]
) -> Pair:
    error_out, output, worst = _worst(operator.outputs, reference.outputs)
    errors_in: list[float] = []
    constants: dict[int, float] = {}
    for number, signature in enumerate(operator.inputs):
        identity = _identity(signature)
        given = difference(signature, reference.inputs[number]) if number < len(reference.inputs) else None
        is_activation = number == 0 or identity in produced
        if given is not None and not is_activation:
            constants[number] = given.error
        elif given is not None:
            errors_in.append(given.error)
        elif (known := produced.get(identity)) is not None:
            errors_in.append(known)
    return Pair(
        index,
        operator,
        reference,
        max(errors_in) if errors_in else None,
        error_out,
        output,
        worst,
        constants,
    )


def _worst(
    outputs: Sequence[TensorSignature], references: Sequence[TensorSignature]
) -> tuple[float | None, int, SignatureDifference | None]:
    """Return the largest error of the outputs that can be compared, and which one that is."""
    found = [
        (compared.error, number, compared)
        for number, (one, reference) in enumerate(zip(outputs, references, strict=False))
        if (compared := difference(one, reference)) is not None
    ]
    return max(found, key=lambda one: one[0], default=(None, 0, None))


def _identity(signature: TensorSignature) -> bytes:
    """Return what tensors of the same numbers have in common."""
    return repr(signature.figures.shape).encode() + signature.sketch.tobytes()
