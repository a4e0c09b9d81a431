"""The public plugin API of edgeloop: everything that a plugin may import, and nothing else."""

from edgeloop.context import DeviceRun, JobContext
from edgeloop.declarations import ModelTool, ProjectTemplate, SourceControl, TrainingBackend, WorkspaceOperation
from edgeloop.handlers import load_handler
from edgeloop.hookspecs import hookimpl
from edgeloop.metrics import MetricPoint, parse_metrics
from edgeloop.parameters import DataPath, ModelPath
from edgeloop.training import Training, TrainingRun, TrainingState, TrainingStatus

__all__ = [
    "DataPath",
    "DeviceRun",
    "JobContext",
    "MetricPoint",
    "ModelPath",
    "ModelTool",
    "ProjectTemplate",
    "SourceControl",
    "Training",
    "TrainingBackend",
    "TrainingRun",
    "TrainingState",
    "TrainingStatus",
    "WorkspaceOperation",
    "hookimpl",
    "load_handler",
    "parse_metrics",
]
