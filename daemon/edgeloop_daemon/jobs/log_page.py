"""Pieces of a job's log by byte offsets."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from pathlib import Path

MIN_PAGE_BYTES = 4  # the longest character, so that every page gets ahead
MAX_PAGE_BYTES = 1024 * 1024


@dataclass(frozen=True)
class LogPage:
    """A piece of a log. `next_offset` is where the next one begins, in bytes; `ended` says that there will be none."""

    text: str
    next_offset: int
    ended: bool


def read_log_page(path: Path, offset: int, limit: int, *, is_ended: bool) -> tuple[LogPage, int]:
    """Return up to `limit` bytes of the log from `offset` on, cut between characters, and the log's present size.

    `is_ended` says that the job had ended before the call: then the end of the file is the end of the log.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        offset = min(offset, size)
        file.seek(offset)
        data = file.read(min(limit, size - offset))
    is_last = is_ended and offset + len(data) == size
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(data, final=is_last)
    rest = len(decoder.getstate()[0])
    return LogPage(text, offset + len(data) - rest, is_last), size
