"""A million executed operators: how long the daemon takes to store them, how much room they take, and how soon it answers.

They come over a real link, as the companion sends them: a batch for each run of the model, all that it read from a script in one
step. The peer is plain SQLite: a row for each event, inserted by `executemany`, and summed up by `group by`; for room also gzip.
"""

from __future__ import annotations

import asyncio
import gzip
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from daemon_parts import Daemon, linked, running_daemon
from figures import Figure, publish, ratio, spread

from edgeloop_companion.runtime.reports import KIND_TRACES, read_report
from edgeloop_companion.runtime.storage import BlobStore
from edgeloop_companion.runtime.trace_batches import TracesReported, merged
from edgeloop_shared.models import RunState
from edgeloop_shared.records import Priority
from edgeloop_shared.run_events import TaskFinished, TaskStarted, encode_event
from edgeloop_shared.traces import Operator, OperatorTable, TraceBatch, pack_batch

EVENTS = 1_000_000
OPERATORS = 64  # of MobileNetV2 as MNN runs it, roughly
RUNS_AT_ONCE = 100  # that the companion reads from a quick script's journal in one step
ROUNDS = 5
QUERIES = 21
STORED_BAR, BYTES_BAR, QUERY_BAR = 5.0, 20.0, 200.0
Row = tuple[int, int, int, int]


def runs_of_the_model() -> list[list[Row]]:
    """Return rows (operator, iteration, begin, duration) of a model's runs: durations vary as measured ones do."""
    draw = random.Random(7)
    typical = [round(draw.lognormvariate(10.5, 1.2)) for _ in range(OPERATORS)]
    now, found = 10**15, []
    for iteration in range(EVENTS // OPERATORS):
        rows = []
        for operator, usual in enumerate(typical):
            duration = max(300, round(usual * draw.gauss(1, 0.05)))
            rows.append((operator, iteration, now, duration))
            now += duration
        now += round(abs(draw.gauss(200_000, 50_000)))
        found.append(rows)
    return found


async def store(daemon: Daemon, batches: list[bytes]) -> tuple[float, str]:
    """Send all batches in a run and return the seconds until the last one is acknowledged as stored, and the run's id."""
    (daemon.root / "task.py").write_text("")
    table = OperatorTable(
        1, "mobilenet.mnn", "cpu", 0, tuple(Operator(f"conv_{n}", "Convolution") for n in range(OPERATORS))
    )
    with tempfile.TemporaryDirectory() as folder:
        async with linked(daemon.pairings[0], BlobStore(Path(folder))) as device:
            run = await asyncio.to_thread(daemon.start_run, "task.py", device.id)
            await device.commands.get()
            stream = f"{run}.events"
            await device.outbox.append(stream, encode_event(TaskStarted(0)))
            await device.outbox.append(stream, encode_event(table))
            records = device.outbox.records(run)
            begin = time.monotonic()
            for at in range(0, len(batches), RUNS_AT_ONCE):
                read = [read_report(bytes([KIND_TRACES]) + data) for data in batches[at : at + RUNS_AT_ONCE]]
                together = merged(one for one in read if isinstance(one, TracesReported))
                await records.append([(Priority.TRACES, data) for data in together])
            await device.outbox.stored(f"{run}.traces", records.state.last[Priority.TRACES])
            taken = time.monotonic() - begin
            end = encode_event(TaskFinished(1, RunState.SUCCEEDED, 0, records.state.last[Priority.TRACES]))
            await device.outbox.stored(stream, await device.outbox.append(stream, end))
    return taken, run


def room(database: Path) -> int:
    """Return how large a database is once its log is part of it."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
        (pages,) = connection.execute("pragma page_count").fetchone()
        (free,) = connection.execute("pragma freelist_count").fetchone()
        (size,) = connection.execute("pragma page_size").fetchone()
    return int((pages - free) * size)


def plain_rows(path: Path, rows: list[Row]) -> float:
    """Store a row for each event in plain SQLite; return the seconds."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")
        connection.execute(
            "create table events (run text, session integer, operator integer, iteration integer,"
            " begin_ns integer, duration_ns integer)"
        )
        begin = time.monotonic()
        with connection:
            connection.executemany("insert into events values ('r1', 1, ?, ?, ?, ?)", rows)
        return time.monotonic() - begin


def plain_query(path: Path) -> float:
    """Ask plain SQLite for the operators that took longest; return the milliseconds."""
    sql = (
        "select operator, count(*), sum(duration_ns), min(duration_ns), max(duration_ns) from events"
        " where run = 'r1' group by operator order by 3 desc limit 100"
    )
    with closing(sqlite3.connect(path)) as connection:
        begin = time.monotonic()
        connection.execute(sql).fetchall()
        return (time.monotonic() - begin) * 1e3


def figures() -> Iterator[Figure]:
    """Yield the figures."""
    runs = runs_of_the_model()
    batches = [pack_batch(TraceBatch(1, *map(list, zip(*rows, strict=True)))) for rows in runs]
    rows = [row for one in runs for row in one]
    ours, plain, sizes, asked, plain_asked = [], [], [], [], []
    with tempfile.TemporaryDirectory() as folder, running_daemon() as daemon:
        path = Path(folder) / "plain.db"
        database = daemon.client.folders.database
        for number in range(ROUNDS):
            before = room(database)
            taken, run = asyncio.run(store(daemon, batches))
            ours.append(taken)
            sizes.append((room(database) - before) / len(rows))
            path.unlink(missing_ok=True)
            plain.append(plain_rows(path, rows))
            for _ in range(QUERIES // ROUNDS + 1):
                begin = time.monotonic()
                found = daemon.client.items(f"/runs/{run}/trace/operators", limit=100)
                asked.append((time.monotonic() - begin) * 1e3)
                plain_asked.append(plain_query(path))
            assert sum(one["calls"] for one in found) == len(rows), number
        plain_bytes = room(path) / len(rows)
    zipped = len(gzip.compress(b"".join(batches), 6)) / len(rows)
    measured = {"million_events": len(rows) / 1e6, "batches": len(batches)}
    yield Figure(
        "a million events stored", statistics.median(ours), STORED_BAR, "s", spread=spread(ours), measured=measured
    )
    yield ratio("stored / rows in plain SQLite", 2.0, ours, plain, unit="s")
    size = statistics.median(sizes)
    yield Figure(
        "room on the disk", size, BYTES_BAR, "B", measured={"plain_rows_bytes": plain_bytes, "gzip_bytes": zipped}
    )
    yield Figure("top operators, asked over HTTP", statistics.median(asked), QUERY_BAR, "ms", spread=spread(asked))
    yield ratio("top operators / group by", 0.5, asked, plain_asked, unit="ms")


if __name__ == "__main__":
    publish("traces", lambda: list(figures()))
