"""The database's tables, as the steps that led to them. A released step is never edited: a change is a new step."""

from __future__ import annotations

from edgeloop_daemon.store.applied_migrations import Migration
from edgeloop_daemon.store.tables import Tables


def m001_first_tables(tables: Tables) -> None:
    """Create the tables of the first version. Times are seconds since the UNIX epoch; `*_json` columns hold JSON text."""
    for statement in _FIRST_TABLES.split(";"):
        if statement.strip():
            tables.execute(statement)


def m002_events_and_tokens(tables: Tables) -> None:
    """Create the log of events, named tokens and the keys of requests that must not be done twice.

    Cursors of events are never used again (`autoincrement`). Of tokens only the SHA-256 is kept.
    """
    for statement in _EVENTS_AND_TOKENS.split(";"):
        if statement.strip():
            tables.execute(statement)


def m003_gaps_and_queues(tables: Tables) -> None:
    """Keep what devices had to drop, what runs wait for and how much memory they may use."""
    tables.execute("alter table records add column is_gap integer not null default 0")
    tables.execute("alter table runs add column waits_behind integer")
    tables.execute("alter table runs add column memory_bytes integer")
    tables.execute(
        "create table run_gaps ("
        " run text not null references runs(id), stream text not null, sequence integer not null, items integer not null,"
        " bytes integer not null, reason text not null, begun_at real not null, ended_at real not null,"
        " primary key (run, stream, sequence)) without rowid"
    )


def m003_runs_that_return(tables: Tables) -> None:
    """Keep of a run whose device was lost that the device may still bring it back."""
    tables.execute("alter table runs add column may_return integer not null default 0")


def m004_durability(tables: Tables) -> None:
    """Number jobs and runs in the order in which they came, whatever the clock says; keep that a run's end was asked for."""
    for table in ("jobs", "runs"):
        tables.execute(f"alter table {table} add column number integer not null default 0")
        tables.execute(
            f"update {table} set number = ("  # noqa: S608 - names of this function
            f"select count(*) from {table} as other where (other.created_at, other.id) <= ({table}.created_at, {table}.id))"
        )
        tables.execute(f"create index {table}_by_number on {table} (number)")
    tables.execute("alter table runs add column is_cancel_requested integer not null default 0")


def m005_breakpoints(tables: Tables) -> None:
    """Create the table of breakpoints that are kept with a workspace. `place` is what two of them may not have in common."""
    tables.execute(
        "create table breakpoints ("
        " number integer primary key autoincrement, id text not null unique, workspace text not null references workspaces(id),"
        " kind text not null, place text not null, content_json text not null, created_at real not null,"
        " verification_json text, unique (workspace, place))"
    )


def m006_operator_hits(tables: Tables) -> None:
    """Number the hits of a run's operator breakpoints in the order in which they came."""
    tables.execute(
        "create table operator_hits ("
        " run text not null references runs(id), number integer not null, hit_json text not null,"
        " primary key (run, number)) without rowid"
    )


def m007_debugged_runs(tables: Tables) -> None:
    """Keep of a run whether it is begun under a debugger, because the order may have to be repeated."""
    tables.execute("alter table runs add column debug text not null default 'off'")


def m008_operator_breakpoints(tables: Tables) -> None:
    """Keep the breakpoints on operators that a run began with, and the stops at which it waits now."""
    tables.execute("alter table runs add column operator_breakpoints_json text not null default '[]'")
    tables.execute(
        "create table operator_stops ("
        " run text not null references runs(id), stop integer not null, stopped_json text not null, begun_at real not null,"
        " primary key (run, stop)) without rowid"
    )


def m009_traces(tables: Tables) -> None:
    """Keep traces in blocks of columns, each with a summary; times of a trace are nanoseconds of its device's monotonic clock.

    `traces.sealed` is the last record of the run's stream that lies in a block: later ones lie in `records` as they came.
    """
    for statement in _TRACES.split(";"):
        tables.execute(statement)


def m010_runs_with_kept_breakpoints(tables: Tables) -> None:
    """Keep of a run whether the breakpoints of its workspace are for it."""
    tables.execute("alter table runs add column kept_breakpoints integer not null default 0")


def m011_operator_matches(tables: Tables) -> None:
    """Keep what breakpoints on operators of a run have found to stop at, per model."""
    tables.execute(
        "create table operator_matches ("
        " run text not null references runs(id), breakpoint text not null, model text not null, matched_json text not null,"
        " primary key (run, breakpoint, model)) without rowid"
    )


def m012_places_in_queues(tables: Tables) -> None:
    """Keep of a run that waits for a worker of its device also whom it waits for."""
    tables.execute("alter table runs add column queue_json text")
    tables.execute("update runs set queue_json = '{\"before\":' || waits_behind || '}' where waits_behind is not null")
    tables.execute("alter table runs drop column waits_behind")


def m013_progress_of_runs(tables: Tables) -> None:
    """Keep of a run how far its script says that it is; what was called its progress is how much of its files was sent."""
    tables.execute("alter table runs rename column progress_json to transfer_json")
    tables.execute("alter table runs add column progress_json text")


_FIRST_TABLES = """
create table settings (name text primary key, value_json text not null) without rowid;

create table devices (
    id text primary key, device_key blob not null, info_json text not null,
    paired_at real not null, last_seen real, revoked_at real
) without rowid;

create table workspaces (
    id text primary key, path text not null unique, name text not null,
    is_trusted integer not null default 0, is_open integer not null default 1, opened_at real not null
) without rowid;

create table jobs (
    id text primary key, workspace text not null references workspaces(id), kind text not null, name text not null,
    state text not null, parameters_json text not null, created_at real not null, started_at real, ended_at real,
    result_json text, error_json text
) without rowid;
create index jobs_by_workspace on jobs (workspace, created_at);

create table metrics (
    run text not null, tag text not null, step integer not null, value real not null, time real not null,
    primary key (run, tag, step)
) without rowid;

create table runs (
    id text primary key, workspace text not null references workspaces(id), device text not null references devices(id),
    script text not null, arguments_json text not null, trace integer not null, manifest text not null,
    state text not null, created_at real not null, started_at real, ended_at real,
    progress_json text, result_json text not null default '{}', error_json text
);
create index runs_by_workspace on runs (workspace, created_at);

create table run_files (
    run text not null references runs(id), name text not null, sha256 text not null, size integer not null,
    is_received integer not null default 0,
    primary key (run, name)
) without rowid;

create table records (
    device text not null, epoch text not null, stream text not null, sequence integer not null,
    is_continued integer not null, payload blob not null,
    primary key (device, epoch, stream, sequence)
) without rowid;
create index records_by_stream on records (stream, sequence)
"""

_EVENTS_AND_TOKENS = """
create table events (
    cursor integer primary key autoincrement, time real not null, kind text not null, workspace text, subject text,
    data_json text not null
);
create index events_by_subject on events (subject, kind);

create table tokens (
    name text primary key, hash blob not null unique, created_at real not null, last_used real
) without rowid;

create table idempotency_keys (
    key text primary key, request_hash blob not null, location text not null, created_at real not null
) without rowid
"""

_TRACES = """
create table traces (
    run text primary key references runs(id), created_at real not null, started_json text,
    events integer not null default 0, spans integer not null default 0, samples integer not null default 0,
    lost_spans integer not null default 0, unreadable integer not null default 0, sealed integer not null default 0,
    raw_bytes integer not null default 0, bytes integer not null default 0, begin_ns integer, end_ns integer
) without rowid;

create table trace_sessions (
    run text not null references runs(id), session integer not null, model text not null, backend text not null,
    threads integer, precision text, clock_offset_ns integer not null, operators blob not null,
    primary key (run, session)
) without rowid;

create table trace_clocks (
    run text not null references runs(id), device_ns integer not null, host_ns integer not null, error_ns integer not null,
    round_trips integer not null, primary key (run, device_ns)
) without rowid;

create table trace_blocks (
    run text not null references runs(id), number integer not null, kind text not null, session integer not null,
    events integer not null, begin_ns integer not null, end_ns integer not null, summary blob not null, content blob not null
);
create unique index trace_blocks_by_run on trace_blocks (run, number)
"""

migrations: tuple[Migration, ...] = (
    m001_first_tables,
    m002_events_and_tokens,
    m003_gaps_and_queues,
    m003_runs_that_return,
    m004_durability,
    m005_breakpoints,
    m006_operator_hits,
    m007_debugged_runs,
    m008_operator_breakpoints,
    m009_traces,
    m010_runs_with_kept_breakpoints,
    m011_operator_matches,
    m012_places_in_queues,
    m013_progress_of_runs,
)
