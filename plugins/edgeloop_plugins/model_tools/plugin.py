"""Declares the model tools. Nothing heavy is imported here: the handlers live in modules that only jobs import."""

from __future__ import annotations

from edgeloop import ModelTool, hookimpl
from edgeloop_plugins.divergence.parameters import DivergeParameters
from edgeloop_plugins.divergence.results import DivergeResult
from edgeloop_plugins.model_tools import parameters, results

_HANDLERS = "edgeloop_plugins.model_tools"


@hookimpl
def edgeloop_model_tools() -> list[ModelTool]:
    """Return convert, quantize, inspect, compare and diverge."""
    return [
        ModelTool(
            name="convert",
            summary="Convert an ONNX model to MNN.",
            parameters=parameters.ConvertParameters,
            result=results.ConvertResult,
            handler=f"{_HANDLERS}.convert:convert",
        ),
        ModelTool(
            name="quantize",
            summary="Make an MNN model smaller: fp16, or weights of 2 to 8 bits.",
            parameters=parameters.QuantizeParameters,
            result=results.QuantizeResult,
            handler=f"{_HANDLERS}.quantize:quantize",
        ),
        ModelTool(
            name="inspect",
            summary="Show a model's inputs, outputs, operators, sizes and bits.",
            parameters=parameters.InspectParameters,
            result=results.InspectResult,
            handler=f"{_HANDLERS}.inspect:inspect",
        ),
        ModelTool(
            name="compare",
            summary="Compare variants of a model with a reference: outputs, size and latency on this computer.",
            parameters=parameters.CompareParameters,
            result=results.CompareResult,
            handler=f"{_HANDLERS}.compare:compare",
        ),
        ModelTool(
            name="diverge",
            summary="Find the first stage or operator at which a device and a reference disagree.",
            parameters=DivergeParameters,
            result=DivergeResult,
            handler="edgeloop_plugins.divergence.diverge:diverge",
        ),
    ]
