"""Handlers and other objects that declarations name as `"module:name"`, imported where they are needed."""

from __future__ import annotations

import importlib
from typing import Any

from edgeloop_shared.errors import EdgeloopError, PluginError


def load_handler(reference: str) -> Any:
    """Return what `"module:name"` names; `name` may be dotted (a method or a nested class).

    Raises `PluginError` when the text has another form, the module cannot be imported or holds no such name. An
    `EdgeloopError` that the module raises while it is imported (Git is missing, say) passes unchanged.
    """
    module_name, _, name = reference.partition(":")
    if not module_name or not name:
        raise _broken(reference, 'it does not have the form "module:name"')
    try:
        found: Any = importlib.import_module(module_name)
    except EdgeloopError:
        raise
    except Exception as error:
        raise _broken(reference, f"importing {module_name} raised {type(error).__name__}: {error}") from error
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise _broken(reference, f"{module_name} holds no {name}") from None
    return found


def reference_to(kind: type) -> str:
    """Return the `"module:name"` of a class, for `load_handler` in another process."""
    return f"{kind.__module__}:{kind.__qualname__}"


def _broken(reference: str, reason: str) -> PluginError:
    return PluginError(
        f"The handler {reference!r} cannot be loaded: {reason}.",
        hint="Check the plugin's declaration, and that the plugin is installed in the environment that edgeloop runs in.",
        details={"handler": reference},
    )
