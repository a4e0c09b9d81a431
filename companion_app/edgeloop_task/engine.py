"""MNN itself, imported once and in silence."""

from __future__ import annotations

import functools
from typing import Any

from edgeloop_shared.errors import ModelError
from edgeloop_task.native_output import capture


@functools.cache
def mnn() -> Any:
    """Return the module `MNN`. Raises `ModelError` when it is not installed.

    It is imported on first use, because it is large and prints a banner that belongs in nobody's log.
    """
    try:
        with capture():
            import MNN
    except ImportError as error:
        raise ModelError(
            f"MNN cannot be imported: {error}.", hint="Install it into this Python: pip install MNN numpy."
        ) from None
    return MNN


@functools.cache
def mnn_modules() -> tuple[Any, Any]:
    """Return the modules `MNN.expr` and `MNN.nn`. Raises `ModelError` when MNN is not installed."""
    mnn()
    with capture():
        import MNN.expr
        import MNN.nn
    return MNN.expr, MNN.nn
