"""Which ended jobs and runs go: those that are too old, then the oldest until the rest fits."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

DAY = 24 * 3600.0
Kind = Literal["tool", "train", "operation", "run", "trace"]
Reason = Literal["age", "size"]


@dataclass(frozen=True)
class RetentionPolicy:
    """How long and how much is kept. Nothing that is active goes, whatever these say."""

    max_age_days: float = field(
        default=30.0,
        metadata={"gt": 0, "le": 36500, "description": "Jobs and runs that ended longer ago are removed."},
    )
    max_gigabytes: float = field(
        default=20.0,
        metadata={"gt": 0, "le": 1e6, "description": "Of jobs, runs and blobs together; the oldest are removed first."},
    )
    keep_newest: int = field(
        default=20,
        metadata={
            "ge": 0,
            "le": 100_000,
            "description": "So many jobs and so many runs of each workspace always stay, with their traces.",
        },
    )
    max_trace_days: float = field(
        default=14.0,
        metadata={
            "gt": 0,
            "le": 36500,
            "description": "Traces of runs that ended longer ago are removed, their runs are not.",
        },
    )
    max_trace_gigabytes: float = field(
        default=5.0,
        metadata={"gt": 0, "le": 1e6, "description": "Of traces together; the oldest are removed first."},
    )


@dataclass(frozen=True)
class Kept:
    """A job or a run that has ended, or the trace of a run (by the run's id).

    `bytes` is its own share, `blobs` what it refers to (SHA-256 in hex).
    """

    kind: Kind
    id: str
    workspace: str
    name: str
    ended_at: float
    bytes: int
    blobs: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Removal:
    """What is to go, and why; `bytes` is what that frees, blobs that nothing else refers to included."""

    kind: Kind
    id: str
    workspace: str
    name: str
    ended_at: float
    bytes: int
    reason: Reason


def choose(
    kept: Iterable[Kept],
    policy: RetentionPolicy,
    *,
    now: float,
    blob_sizes: Mapping[str, int],
    held: Iterable[str] = (),
    other_bytes: int = 0,
) -> tuple[Removal, ...]:
    """Return what the policy removes at the time `now`, the oldest first.

    `kept` is ordered: of jobs and of runs the newest comes last, and nothing counts as older than what is before it, so that a
    clock which was set back for a while makes nothing old. `held` names blobs (once per reference) that something active refers to;
    `other_bytes` is what active jobs and runs take, which counts against the limit.
    """
    items = list(kept)
    ended = _ends(items)
    references = Counter(held)
    for item in items:
        references.update(item.blobs)
    total = other_bytes + sum(item.bytes for item in items) + sum(blob_sizes.get(sha256, 0) for sha256 in references)
    free = _without_newest(items, policy.keep_newest)
    limit = policy.max_gigabytes * 1e9
    removals = []
    for item in sorted(free, key=lambda one: ended[one.id]):
        is_old = ended[item.id] < now - policy.max_age_days * DAY
        if not is_old and total <= limit:
            continue
        references.subtract(item.blobs)
        freed = item.bytes + sum(blob_sizes.get(sha256, 0) for sha256 in item.blobs if references[sha256] == 0)
        total -= freed
        reason: Reason = "age" if is_old else "size"
        removals.append(Removal(item.kind, item.id, item.workspace, item.name, item.ended_at, freed, reason))
    return tuple(removals)


def choose_traces(kept: Iterable[Kept], policy: RetentionPolicy, *, now: float) -> tuple[Removal, ...]:
    """Return which traces the policy removes although their runs may stay; `kept` is ordered as in `choose`."""
    of_traces = replace(policy, max_age_days=policy.max_trace_days, max_gigabytes=policy.max_trace_gigabytes)
    return choose(kept, of_traces, now=now, blob_sizes={})


def _ends(items: Iterable[Kept]) -> dict[str, float]:
    """Return by id when each item ended, or when one before it did if that is later."""
    latest: defaultdict[bool, float] = defaultdict(float)
    ends: dict[str, float] = {}
    for item in items:
        is_run = item.kind == "run"
        ends[item.id] = latest[is_run] = max(latest[is_run], item.ended_at)
    return ends


def _without_newest(items: Iterable[Kept], count: int) -> list[Kept]:
    groups: defaultdict[tuple[bool, str], list[Kept]] = defaultdict(list)
    for item in items:
        groups[item.kind == "run", item.workspace].append(item)
    return [item for group in groups.values() for item in group[: max(0, len(group) - count)]]
