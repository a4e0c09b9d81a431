"""Two traces of the same model, or nearly: which operator takes longer, and whether that is more than noise."""

from __future__ import annotations

import asyncio
import statistics
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeVar

from edgeloop_daemon.traces.blocks import samples
from edgeloop_daemon.traces.store import TraceStore
from edgeloop_daemon.traces.stored_trace import StoredTrace
from edgeloop_shared.significance import latency_difference
from edgeloop_shared.traces import Operator, OperatorTable, TraceBatch, joined

T = TypeVar("T")
ROUNDS = 10
"""Into so many parts the runs of a model are divided: a difference counts when their medians do not overlap."""
_DETAILED_EVENTS = 400_000  # up to which a trace is read as a whole; of a larger one each block is a part
_FEW_ROUNDS = 3


@dataclass(frozen=True)
class ComparedOperator:
    """An operator in both traces; milliseconds per run of the model, medians over its parts.

    `share` is its part of the model's time in the run, `difference_ms` that to the reference; one that `is_noise` means nothing,
    for the `reason` that is given. `source` is its node of the source model, with its type, where that is known.
    """

    name: str
    type: str
    reference_name: str
    ms: float
    reference_ms: float
    difference_ms: float
    share: float
    is_noise: bool
    reason: str
    source: str | None = None


@dataclass(frozen=True)
class ComparedSession:
    """A model in both traces. `whole` is the sum of the operators that both have.

    `operators` are ordered by how much slower they became. `only_here` and `only_there` name operators of one of the two.
    """

    model: str
    reference_model: str
    backend: str
    reference_backend: str
    runs: int
    reference_runs: int
    whole: ComparedOperator
    operators: tuple[ComparedOperator, ...]
    only_here: tuple[str, ...]
    only_there: tuple[str, ...]
    has_valid_times: bool


@dataclass(frozen=True)
class TraceComparison:
    """A run's trace beside that of a reference. `notes` say what must be known to read it."""

    run: str
    reference: str
    sessions: tuple[ComparedSession, ...]
    notes: tuple[str, ...]


Rounds = Mapping[int, Sequence[float]]
"""For each operator of a session the milliseconds that it took per run of the model, once per round."""


async def compare_traces(traces: TraceStore, run_id: str, reference_id: str) -> TraceComparison:
    """Compare the traces of two runs. Raises `NotFoundError` when one has none."""
    run, reference = await traces.read(run_id), await traces.read(reference_id)
    found, known = [await _rounds(traces, trace) for trace in (run, reference)]
    return await asyncio.to_thread(_compared, run, reference, found, known)


async def _rounds(traces: TraceStore, trace: StoredTrace) -> dict[int, Rounds]:
    if trace.events > _DETAILED_EVENTS:
        return await asyncio.to_thread(_rounds_of_parts, trace)
    batches: dict[int, list[TraceBatch]] = defaultdict(list)
    async for batch in traces.batches(trace):
        if isinstance(batch, TraceBatch):
            batches[batch.session].append(batch)
    return await asyncio.to_thread(lambda: {session: _rounds_of(many) for session, many in batches.items()})


def _rounds_of(batches: Sequence[TraceBatch]) -> Rounds:
    """Divide the runs of a session into rounds. An operator may be executed several times in a run: their times add up."""
    found = {}
    whole = joined(batches)
    runs = len(set(whole.iteration))
    for index, values in samples(whole).items():
        per_run = max(1, round(len(values) / runs))
        sums = [sum(values[at : at + per_run]) / 1e6 for at in range(0, len(values) - per_run + 1, per_run)]
        # The first run of a session is one in which MNN still prepares: it is no sample of the others.
        warm = sums[1:] if len(sums) > _FEW_ROUNDS else sums
        count = min(ROUNDS, len(warm))
        bounds = [len(warm) * number // count for number in range(count + 1)]
        found[index] = [statistics.median(warm[a:b]) for a, b in pairwise(bounds)]
    return found


def _rounds_of_parts(trace: StoredTrace) -> dict[int, Rounds]:
    found: dict[int, Rounds] = {}
    for session, parts in trace.parts.items():
        rounds: dict[int, list[float]] = defaultdict(list)
        for part in parts:
            for index, one in part.items():
                rounds[index].append(one.median / 1e6)
        found[session] = rounds
    return found


def _compared(
    run: StoredTrace, reference: StoredTrace, found: Mapping[int, Rounds], known: Mapping[int, Rounds]
) -> TraceComparison:
    pairs, alone = _pairs(
        [run.tables[session] for session in sorted(found)],
        [reference.tables[session] for session in sorted(known)],
        (lambda table: (table.model, table.backend), lambda table: table.model, lambda _: True),
    )
    notes = [f"{table.model} was run in one of the two only." for side in alone for table in side]
    notes += [
        f"Run {trace.rows.trace['run']} has gaps: {len(trace.rows.gaps)} times its device had to drop batches."
        for trace in (run, reference)
        if trace.rows.gaps
    ]
    sessions = []
    for ours, theirs in pairs:
        mine, its = found[ours.session], known[theirs.session]
        sessions.append(_session(ours, theirs, mine, its))
        fewest = min((len(values) for rounds in (mine, its) for values in rounds.values()), default=0)
        if fewest < _FEW_ROUNDS:
            notes.append(
                f"{ours.model} ran too few times to tell noise from a difference: trace some ten runs or more."
            )
        if not (ours.has_valid_times and theirs.has_valid_times):
            notes.append(f"Times of single operators of {ours.model} mean nothing on this backend: compare whole runs.")
    return TraceComparison(
        run.rows.trace["run"], reference.rows.trace["run"], tuple(sessions), tuple(dict.fromkeys(notes))
    )


def _session(ours: OperatorTable, theirs: OperatorTable, mine: Rounds, its: Rounds) -> ComparedSession:
    matched, (here, there) = _pairs(
        [(index, ours.operators[index]) for index in sorted(mine) if index < len(ours.operators)],
        [(index, theirs.operators[index]) for index in sorted(its) if index < len(theirs.operators)],
        (
            lambda one: (one[1].name, one[1].type, _shapes(one[1])),
            lambda one: (one[1].name, one[1].type),
            lambda one: one[1].name,
            lambda one: (one[1].type, _shapes(one[1])),
        ),
    )
    sums = [
        _sum([rounds[index] for index in indices])
        for rounds, indices in ((mine, [one[0] for one, _ in matched]), (its, [other[0] for _, other in matched]))
    ]
    total = statistics.median(sums[0]) if sums[0] else 0.0
    rows = [
        replace(
            _row(operator.name, operator.type, other.name, mine[index], its[other_index], total),
            source=operator.source or other.source,
        )
        for (index, operator), (other_index, other) in matched
    ]
    return ComparedSession(
        ours.model,
        theirs.model,
        ours.backend,
        theirs.backend,
        max((len(values) for values in mine.values()), default=0),
        max((len(values) for values in its.values()), default=0),
        _row("", "", "", sums[0], sums[1], total),
        tuple(sorted(rows, key=lambda row: -row.difference_ms)),
        tuple(operator.name for _, operator in here),
        tuple(operator.name for _, operator in there),
        ours.has_valid_times and theirs.has_valid_times,
    )


def _row(
    name: str, kind: str, reference_name: str, mine: Sequence[float], its: Sequence[float], total: float
) -> ComparedOperator:
    if not mine or not its:
        return ComparedOperator(name, kind, reference_name, 0.0, 0.0, 0.0, 0.0, True, "nothing to compare")
    difference = latency_difference(mine, its)
    is_noise, reason = difference.is_noise, difference.reason
    if min(len(mine), len(its)) < _FEW_ROUNDS:
        is_noise, reason = True, "too few runs"
    ms = statistics.median(mine)
    share = ms / total if total else 0.0
    return ComparedOperator(
        name, kind, reference_name, ms, statistics.median(its), difference.value, share, is_noise, reason
    )


def _sum(rounds: Sequence[Sequence[float]]) -> list[float]:
    """Return the sums over operators, round by round."""
    return [sum(values) for values in zip(*rounds, strict=False)]


def _shapes(operator: Operator) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(shape) for shape in operator.output_shapes)


def _pairs(
    ours: Sequence[T], theirs: Sequence[T], keys: Sequence[Callable[[T], Hashable]]
) -> tuple[list[tuple[T, T]], tuple[list[T], list[T]]]:
    """Pair what has the same first key, of the rest what has the same second, and so on, in order; return also what is left."""
    pairs: list[tuple[T, T]] = []
    mine, its = list(ours), list(theirs)
    for key in keys:
        waiting: dict[Hashable, deque[T]] = defaultdict(deque)
        for one in its:
            waiting[key(one)].append(one)
        rest = []
        for one in mine:
            if waiting[key(one)]:
                pairs.append((one, waiting[key(one)].popleft()))
            else:
                rest.append(one)
        taken = {id(other) for _, other in pairs}
        mine, its = rest, [one for one in its if id(one) not in taken]
    return pairs, (mine, its)
