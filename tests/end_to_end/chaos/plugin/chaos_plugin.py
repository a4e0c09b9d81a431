"""A third party's plugin for the storm: a model tool that reports much and writes outside what it has done."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from edgeloop import JobContext, ModelTool, hookimpl


@dataclass(frozen=True)
class RecountParameters:
    """What to count."""

    truth: str = field(metadata={"description": "The folder outside of edgeloop."})
    key: str = field(metadata={"description": "Which work this is."})
    lines: int = field(metadata={"ge": 1, "description": "How many lines to print."})


@dataclass(frozen=True)
class RecountResult:
    """What was counted."""

    key: str
    lines: int


def recount(parameters: RecountParameters, context: JobContext) -> RecountResult:
    """Print lines and record metrics, slowly enough to be interrupted."""
    with Path(parameters.truth, parameters.key).open("a") as begun:
        begun.write("begun\n")
    for number in range(parameters.lines):
        context.log(f"{parameters.key} line {number}")
        context.metric("number", number, number / 2)
        context.progress(number / parameters.lines)
        time.sleep(0.015)
    return RecountResult(parameters.key, parameters.lines)


@hookimpl
def edgeloop_model_tools() -> list[ModelTool]:
    """Offer `recount`."""
    return [ModelTool("recount", "Count.", RecountParameters, RecountResult, "chaos_plugin:recount")]
