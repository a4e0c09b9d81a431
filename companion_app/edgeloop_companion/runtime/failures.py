"""What a script's exception looks like to its author: their file, their line, their traceback."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

from edgeloop_shared.codec import encode_json
from edgeloop_shared.errors import EdgeloopError, TaskFailedError

MAX_TRACEBACK_CHARACTERS = 32 * 1024
MAX_MESSAGE_CHARACTERS = 2000
MAX_CAUSE_BYTES = 64 * 1024
_RUNNER = ("<frozen runpy>", "<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>")


def describe_failure(error: BaseException, folder: Path) -> TaskFailedError:
    """Return the error to report for an exception of a script whose bundle lies in `folder`.

    Paths are relative to `folder`, and the frames of the runner are left out. A syntax error points at the faulty text.
    """
    summary = traceback.TracebackException.from_exception(error)
    _tidy(summary, folder, set())
    details: dict[str, object] = {"traceback": _middle_cut(_text("".join(summary.format())))}
    own = [frame for frame in summary.stack if not Path(frame.filename).is_absolute() and frame.filename[:1] != "<"]
    file, line = (own[-1].filename, own[-1].lineno) if own else (None, None)
    if isinstance(error, SyntaxError) and error.filename:
        file, line = _relative(error.filename, folder), error.lineno
        details["text"] = _text(error.text or "").rstrip("\n")[:MAX_MESSAGE_CHARACTERS]
    if file is not None:
        details |= {"file": file, "line": line}
    hint = "The traceback is in the run's log."
    if isinstance(error, EdgeloopError):
        details["cause"] = _cause(error)
        hint = error.hint or hint
    return TaskFailedError(f"{_words(error)}{_place(file, line)}", hint=hint, details=details)


def describe_exit(stop: SystemExit, folder: Path) -> TaskFailedError | None:
    """Return the error for a script that called `sys.exit`; None for the codes that mean success."""
    if stop.code is None or stop.code == 0:
        return None
    failure = describe_failure(stop, folder)
    said = f"exit code {stop.code}" if isinstance(stop.code, int) else _text(str(stop.code))[:MAX_MESSAGE_CHARACTERS]
    place = _place(failure.details.get("file"), failure.details.get("line"))
    return TaskFailedError(f"The script ended itself: {said}{place}", hint=failure.hint, details=failure.details)


def _words(error: BaseException) -> str:
    try:
        said = error.msg if isinstance(error, SyntaxError) else str(getattr(error, "message", None) or error)
    except Exception:
        said = "(its text cannot be shown)"
    text = _text(f"{type(error).__name__}: {said}" if said else type(error).__name__)
    return text if len(text) <= MAX_MESSAGE_CHARACTERS else text[:MAX_MESSAGE_CHARACTERS] + "..."


def _cause(error: EdgeloopError) -> dict[str, Any]:
    """Return the error as a dictionary, without its details when they cannot travel."""
    cause = error.as_dict()
    try:
        if len(encode_json(cause)) <= MAX_CAUSE_BYTES:
            return cause
    except (TypeError, ValueError):
        pass
    return {"code": error.code, "message": _text(error.message)[:MAX_MESSAGE_CHARACTERS]}


def _text(text: str) -> str:
    """Return `text` with lone surrogates (of undecodable file names, say) spelled out: they have no UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def _place(file: object, line: object) -> str:
    return f" ({file}, line {line})" if file is not None else ""


def _tidy(summary: traceback.TracebackException, folder: Path, seen: set[int]) -> None:
    """Drop the runner's frames and shorten the paths, in the exception and in those that led to it."""
    if id(summary) in seen:
        return
    seen.add(id(summary))
    runner = str(Path(__file__).with_name("worker.py"))
    frames = [frame for frame in summary.stack if frame.filename not in _RUNNER and frame.filename != runner]
    for frame in frames:
        frame.filename = _relative(frame.filename, folder)
    summary.stack = traceback.StackSummary.from_list(frames)
    if filename := getattr(summary, "filename", None):  # only a syntax error has one
        summary.filename = _relative(filename, folder)
    for other in (summary.__cause__, summary.__context__, *(summary.exceptions or ())):
        if other is not None:
            _tidy(other, folder, seen)


def _relative(path: str, folder: Path) -> str:
    return Path(path).relative_to(folder).as_posix() if Path(path).is_relative_to(folder) else path


def _middle_cut(text: str) -> str:
    if len(text) <= MAX_TRACEBACK_CHARACTERS:
        return text
    half = MAX_TRACEBACK_CHARACTERS // 2
    return f"{text[:half]}\n  ... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"
