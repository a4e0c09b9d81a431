"""What the plugin for training on this computer offers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgeloop import TrainingBackend, hookimpl


@dataclass(frozen=True)
class LocalParameters:
    """Training on this computer has nothing to choose."""


@hookimpl
def edgeloop_training_backends() -> Iterable[TrainingBackend]:
    """Offer this computer."""
    return [
        TrainingBackend(
            name="local",
            summary="Train on this computer, in the environment that edgeloop runs in.",
            parameters=LocalParameters,
            implementation="edgeloop_plugins.training_local.backend:LocalTraining",
        )
    ]
