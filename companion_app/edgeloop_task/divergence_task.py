"""What one side of a divergence search is asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from edgeloop_shared.benchmarks import Cell

MAX_ASKED = 256
_PATH = {"min_length": 1, "max_length": 1024}

RECORD_FILE = "record.arrays"
"""The name of the file that holds the record of the run."""
TENSORS_FILE = "tensors.arrays"
"""The name of the file that holds the tensors that were asked for."""
ERROR_FILE = "error.json"


@dataclass(frozen=True)
class TensorAsked:
    """A tensor of an operator that is wanted in full, or only those slices along its second axis that `slices` names."""

    operator: str = field(metadata={"max_length": 1024})
    occurrence: int = field(metadata={"ge": 1})
    side: Literal["in", "out"]
    number: int = field(metadata={"ge": 0})
    slices: tuple[int, ...] = field(default=(), metadata={"max_length": 10_000})


@dataclass(frozen=True)
class Fed:
    """An input of an operator that is replaced by the array of an `.npy` file before the operator runs."""

    operator: str = field(metadata={"max_length": 1024})
    occurrence: int = field(metadata={"ge": 1})
    number: int = field(metadata={"ge": 0})
    file: str = field(metadata=_PATH)


@dataclass(frozen=True)
class DivergeTask:
    """A run to record: of the model of `cell` on the arrays of `inputs`, or of a `script`, or of the script with its model.

    `inputs` is an `.npz` with an array per input. With a script the first run of the model within it counts. `asked` are tensors
    that are wanted in full as `asked-N`, `stages` those stages as `stage-N`; operators are not recorded then. With `fed` the
    model runs once more, with these inputs of operators, and `asked` is answered again as `fed-N`. Up to `keep_bytes` the stages
    and all outputs, also those of operators, are answered as well: `stage/NAME`, `output/NAME`, and `operator/KEY` with the keys of
    `edgeloop_task.references`.
    """

    cell: Cell | None = None
    inputs: str | None = field(default=None, metadata=_PATH)
    script: str | None = field(default=None, metadata=_PATH)
    arguments: tuple[str, ...] = field(default=(), metadata={"max_length": 256})
    asked: tuple[TensorAsked, ...] = field(default=(), metadata={"max_length": MAX_ASKED})
    stages: tuple[str, ...] = field(default=(), metadata={"max_length": MAX_ASKED})
    fed: tuple[Fed, ...] = field(default=(), metadata={"max_length": MAX_ASKED})
    keep_bytes: int = field(default=0, metadata={"ge": 0, "lt": 2**63})
