"""What a worker notes in the output of a run that waits for a debugger; who attaches to it by itself need not show that."""

from __future__ import annotations

SOURCE = "system"
_WAITS = "The script waits for a debugger, "
ATTACHED = "A debugger has attached; the script begins."


def waits(seconds: float) -> str:
    """Return the note of a script that waits for at most `seconds`."""
    return f"{_WAITS}for at most {seconds:g} s. Attach one, or cancel the run."


def is_debugger_note(source: str, text: str) -> bool:
    """Return whether a line of output is one of these notes."""
    return source == SOURCE and (text == ATTACHED or text.startswith(_WAITS))
