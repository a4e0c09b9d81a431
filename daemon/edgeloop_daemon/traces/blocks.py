"""Blocks: executed operators of one session as compressed columns, with a summary that answers most questions.

The columns hold what differs from what is expected: an operator from the one before it, a begin from the end before it. So nearly
all is zeros but the durations, and a million events take a few megabytes. `pack_columns` and `pack_statistics` are zlib's
over a header and little-endian columns of the narrowest type that fits.
"""

from __future__ import annotations

import operator as operators
import struct
import sys
import zlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from edgeloop_shared.errors import MessageError
from edgeloop_shared.traces import TraceBatch

_LEVEL = 1
_COLUMNS = struct.Struct("<4sIIII4sqq")
"""Magic, session, count, operators of a whole run (0: not whole runs), length and codes of columns, first iteration and begin."""
_MAGIC = b"ELTC"
_CODES = "bhiq"
_WIDTHS = {"b": 1, "h": 2, "i": 4, "q": 8}
_LEFT_OUT = "-"  # a column that whole runs tell
MAX_EVENTS = 1 << 22  # of one block
MAX_TOTAL = 2**62  # of times: a century is as good as any that a device makes up
_STATISTICS = "IIQQQQ"
_STATISTICS_BYTES = 4 + 4 + 8 * 4


@dataclass(frozen=True)
class Statistics:
    """How long one operator took over the runs of a block, in nanoseconds."""

    count: int
    total: int
    shortest: int
    longest: int
    median: int


def pack_columns(batch: TraceBatch) -> bytes:
    """Return the bytes of a block; its batch is not empty and was `joined`."""
    operator, iteration, begin, duration = batch.operator, batch.iteration, batch.begin_ns, batch.duration_ns
    whole = _operators_of_whole_runs(operator, iteration)
    columns = [] if whole else [_narrow(_steps(operator, operator[0])), _narrow(_steps(iteration, 0))]
    columns.append(_narrow([0, *map(operators.sub, begin[1:], map(operators.add, begin, duration))]))
    columns.append(_narrow(duration))
    codes = "".join(column.typecode for column in columns).rjust(4, _LEFT_OUT).encode()
    content = b"".join(_little_endian(column).tobytes() for column in columns)
    header = _COLUMNS.pack(_MAGIC, batch.session, len(batch), whole, len(content), codes, iteration[0], begin[0])
    return header + zlib.compress(content, _LEVEL)


def unpack_columns(data: bytes) -> TraceBatch:
    """Return the batch in a block. Raises `MessageError` for anything that `pack_columns` cannot have written."""
    if len(data) < _COLUMNS.size:
        raise MessageError(f"A block of {len(data)} bytes is shorter than its header.")
    magic, session, count, whole, length, packed_codes, first, begin = _COLUMNS.unpack_from(data)
    codes = packed_codes.decode("latin-1").lstrip(_LEFT_OUT)
    if magic != _MAGIC or not 0 < count <= MAX_EVENTS or any(code not in _WIDTHS for code in codes):
        raise MessageError("A block of a trace does not begin as this edgeloop writes it.")
    if len(codes) != (2 if whole else 4) or (whole and count % whole) or not 0 <= first < 2**32 or abs(begin) >= 2**62:
        raise MessageError("The header of a block of a trace contradicts itself.")
    if length != sum(_WIDTHS[code] * count for code in codes):
        raise MessageError(f"A block of a trace announces {count} events in {length} bytes.")
    content = _inflated(data[_COLUMNS.size :], length)
    columns, offset = [], 0
    for code in codes:
        end = offset + _WIDTHS[code] * count
        columns.append(_little_endian(array(code, content[offset:end])))
        offset = end
    gaps, duration = columns[-2:]
    try:
        begins = array("q", accumulate(map(operators.add, gaps, [begin, *duration[:-1]])))
        if whole:
            operator = array("I", range(whole)) * (count // whole)
            iteration = _iterations(first, whole, count)
        else:
            operator = array("I", accumulate(columns[0]))
            iteration = array("I", accumulate([first + columns[1][0], *columns[1][1:]]))
        return TraceBatch(session, operator, iteration, begins, array("Q", duration))
    except OverflowError:
        raise MessageError("A block of a trace holds a number that does not fit.") from None


def samples(batch: TraceBatch) -> dict[int, Sequence[int]]:
    """Return the durations of each operator, in the order of execution."""
    operator, duration = batch.operator, batch.duration_ns
    if whole := _operators_of_whole_runs(operator, None):
        return {index: duration[index::whole] for index in range(whole)}
    found: dict[int, list[int]] = {}
    for index, value in zip(operator, duration, strict=True):
        if index in found:
            found[index].append(value)
        else:
            found[index] = [value]
    return dict(found)


def _operators_of_whole_runs(operator: Sequence[int], iteration: Sequence[int] | None) -> int:
    """Return how many operators a run has if there is nothing but whole runs in their order (and counted up by one); else 0."""
    count, known = len(operator), max(operator, default=-1) + 1
    if not known or count % known or operator != array("I", range(known)) * (count // known):
        return 0
    if iteration is None:
        return known
    is_counted = iteration[0] + count // known <= 2**32 and iteration == _iterations(iteration[0], known, count)
    return known if is_counted else 0


def _iterations(first: int, whole: int, count: int) -> array[int]:
    found = array("I")
    for number in range(first, first + count // whole):
        found.extend(array("I", [number]) * whole)
    return found


def _steps(values: Sequence[int], first: int) -> list[int]:
    return [first, *map(operators.sub, values[1:], values)]


def statistics(batch: TraceBatch) -> dict[int, Statistics]:
    """Return the statistics of each operator."""
    found = {}
    for index, values in samples(batch).items():
        ordered = sorted(values)
        count = len(ordered)
        found[index] = Statistics(count, min(sum(ordered), MAX_TOTAL), ordered[0], ordered[-1], ordered[count // 2])
    return found


def pack_statistics(found: Mapping[int, Statistics]) -> bytes:
    """Return the bytes of a summary."""
    columns = [
        array(code, values)
        for code, values in zip(
            _STATISTICS,
            (
                found,
                [one.count for one in found.values()],
                [one.total for one in found.values()],
                [one.shortest for one in found.values()],
                [one.longest for one in found.values()],
                [one.median for one in found.values()],
            ),
            strict=True,
        )
    ]
    content = b"".join(_little_endian(column).tobytes() for column in columns)
    return struct.pack("<I", len(found)) + zlib.compress(content, _LEVEL)


def unpack_statistics(data: bytes) -> dict[int, Statistics]:
    """Return the statistics in a summary. Raises `MessageError` for anything that `pack_statistics` cannot have written."""
    if len(data) < 4:
        raise MessageError("The summary of a trace is shorter than its header.")
    (count,) = struct.unpack_from("<I", data)
    if count > MAX_EVENTS:
        raise MessageError(f"The summary of a trace announces {count} operators.")
    content = _inflated(data[4:], count * _STATISTICS_BYTES)
    columns, offset = [], 0
    for code, width in zip(_STATISTICS, (4, 4, 8, 8, 8, 8), strict=True):
        columns.append(_little_endian(array(code, content[offset : offset + width * count])))
        offset += width * count
    rows: Iterable[tuple[int, ...]] = zip(*columns, strict=True)
    return {row[0]: Statistics(*row[1:]) for row in rows}


def _inflated(data: bytes, length: int) -> bytes:
    """Return exactly `length` bytes; no more are made of a stream that holds more."""
    inflating = zlib.decompressobj()
    try:
        content = inflating.decompress(data, length + 1)
    except zlib.error as error:
        raise MessageError(f"A block of a trace is damaged: {error}.") from None
    if len(content) != length or not (inflating.eof or length == 0):
        raise MessageError(f"A block of a trace holds {len(content)} bytes instead of {length}.")
    return content


def _narrow(values: Sequence[int]) -> array[int]:
    """Return values as the narrowest type that fits. To try is quicker than to look for the smallest and the largest first."""
    for code in _CODES[:-1]:
        try:
            return array(code, values)
        except OverflowError:
            continue
    return array(_CODES[-1], values)


def _little_endian(column: array[int]) -> array[int]:
    if sys.byteorder == "big":
        column.byteswap()
    return column
