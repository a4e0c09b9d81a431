"""One damaged input after the other through a decoder, and what must hold of each."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

from security.fuzzing.decoder import Decoder
from security.fuzzing.mutations import mutated

MAX_SECONDS = 5.0  # of one input, in this process's own time: far above any honest one, far below a denial of service


@dataclass(frozen=True)
class Outcome:
    """What became of one input."""

    data: bytes
    was_taken: bool
    seconds: float


class BrokenPromiseError(AssertionError):
    """A decoder did with an input what it must not do; the input is told in full."""

    def __init__(self, decoder: Decoder, data: bytes, what: str) -> None:
        super().__init__(f"{decoder.name}: {what}\n{data!r}")
        self.data = data


def outcomes(decoder: Decoder, count: int, *, first: int = 0) -> Iterator[Outcome]:
    """Put the seeds and then `count` damaged inputs through `decoder`. Case n is the same in every run.

    Raises `BrokenPromiseError` for an input that raises what is not documented, takes too long, or does not survive being
    encoded again.
    """
    for data in decoder.seeds if first == 0 else ():
        yield _outcome(decoder, data)
    for number in range(first, first + count):
        source = random.Random(f"{decoder.name} {number}")
        yield _outcome(decoder, mutated(source, decoder.seeds, is_json=decoder.is_json))


def _outcome(decoder: Decoder, data: bytes) -> Outcome:
    begin = time.process_time()
    try:
        value = decoder.decode(data)
    except decoder.errors:
        return Outcome(data, False, _checked(decoder, data, begin))
    except Exception as error:
        raise BrokenPromiseError(decoder, data, f"raised {type(error).__name__}: {error}") from error
    seconds = _checked(decoder, data, begin)
    if decoder.encode is not None:
        try:
            again = decoder.decode(decoder.encode(value))
        except Exception as error:
            raise BrokenPromiseError(decoder, data, f"does not survive: {type(error).__name__}: {error}") from error
        if repr(again) != repr(value):  # errors have no `==`
            raise BrokenPromiseError(decoder, data, f"{value!r} became {again!r}")
    return Outcome(data, True, seconds)


def _checked(decoder: Decoder, data: bytes, begin: float) -> float:
    seconds = time.process_time() - begin
    if seconds > MAX_SECONDS:
        raise BrokenPromiseError(decoder, data, f"took {seconds:.1f} s")
    return seconds
