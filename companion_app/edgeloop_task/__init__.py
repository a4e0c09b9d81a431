"""What a device script imports; it runs the same on a phone and on a plain PC.

A few lines run a model on the real device::

    import edgeloop_task

    model = edgeloop_task.load_model("digits.mnn")
    scores = model(image)
    edgeloop_task.report_result(p50_ms=model.time(image).p50_ms)
"""

from edgeloop_task.images import report_image
from edgeloop_task.memory_use import MemoryUse, memory
from edgeloop_task.model import Model, load_model
from edgeloop_task.operator_breakpoint import OperatorBreakpoint, Recording, break_on, record, watch
from edgeloop_task.operator_hit import HitTensor, OperatorHit
from edgeloop_task.progress import report_progress
from edgeloop_task.reporting import report_file, report_metric, report_result
from edgeloop_task.spans import Span, span
from edgeloop_task.stages import stage
from edgeloop_task.tensor_comparison import TensorComparison
from edgeloop_task.tensor_statistics import TensorStatistics
from edgeloop_task.tensors import TensorInfo
from edgeloop_task.timing import Timing
from edgeloop_task.tracing import trace

__all__ = [
    "HitTensor",
    "MemoryUse",
    "Model",
    "OperatorBreakpoint",
    "OperatorHit",
    "Recording",
    "Span",
    "TensorComparison",
    "TensorInfo",
    "TensorStatistics",
    "Timing",
    "break_on",
    "load_model",
    "memory",
    "record",
    "report_file",
    "report_image",
    "report_metric",
    "report_progress",
    "report_result",
    "span",
    "stage",
    "trace",
    "watch",
]
