"""What handlers return, as JSON."""

from __future__ import annotations

from edgeloop_shared.codec import encode_json
from edgeloop_shared.errors import PluginError, TooLargeError

MAX_RESULT_BYTES = 4 * 1024 * 1024


def encode_result(result: object, kind: type, handler: str) -> bytes:
    """Return the JSON text of what `handler` returned, which must be a `kind`.

    Raises `PluginError` for another type and for what has no JSON form, and `TooLargeError` beyond `MAX_RESULT_BYTES`.
    """
    if not isinstance(result, kind):
        raise PluginError(
            f"{handler} returned {_named(result)} instead of {kind.__name__}.",
            hint=f"Return the {kind.__name__} that the plugin declares as the result.",
            details={"handler": handler},
        )
    try:
        text = encode_json(result)
    except (TypeError, ValueError, RecursionError) as error:
        raise PluginError(
            f"The result of {handler} has no JSON form: {error}.",
            hint="A result is a dataclass of strings, finite numbers, tuples and mappings.",
            details={"handler": handler},
        ) from error
    if len(text) > MAX_RESULT_BYTES:
        raise TooLargeError(
            f"The result of {handler} has {len(text)} bytes, more than the limit of {MAX_RESULT_BYTES}.",
            hint="Large results belong into files, and the result names them.",
            details={"limit": MAX_RESULT_BYTES, "size": len(text)},
        )
    return text


def _named(result: object) -> str:
    return "nothing" if result is None else f"a value of the type {type(result).__name__}"
