"""The routes of jobs."""

from __future__ import annotations

from dataclasses import dataclass, field

from aiohttp import web

from edgeloop_daemon.http.feeds import follow_job_log
from edgeloop_daemon.http.paging import CURSOR, LIMIT, PREFIX, cut, position_of
from edgeloop_daemon.http.routes import Call, Route
from edgeloop_daemon.http.server_sent_events import MEDIA, last_event_id, render_log, serve_feed
from edgeloop_daemon.http.streams import Streams
from edgeloop_daemon.jobs.job import Job, JobState, Metric
from edgeloop_daemon.jobs.jobs import Jobs
from edgeloop_daemon.jobs.log_page import MAX_PAGE_BYTES, MIN_PAGE_BYTES, LogPage


@dataclass(frozen=True)
class JobList:
    """Jobs, the newest first."""

    items: tuple[Job, ...]
    next: str | None


@dataclass(frozen=True)
class MetricList:
    """Points of curves, by tag and step."""

    items: tuple[Metric, ...]


@dataclass(frozen=True)
class JobQuery:
    """Which jobs to list."""

    workspace: str | None = None
    state: JobState | None = None
    prefix: str | None = field(default=None, metadata=PREFIX)
    limit: int = field(default=100, metadata=LIMIT)
    cursor: str | None = field(default=None, metadata=CURSOR)


@dataclass(frozen=True)
class LogStreamQuery:
    """Where to begin, in bytes; the header `Last-Event-ID` goes before it."""

    offset: int = field(default=0, metadata={"ge": 0, "lt": 2**63})


@dataclass(frozen=True)
class LogQuery:
    """Which piece of a log to read, in bytes; `wait` is how many seconds to wait for more."""

    offset: int = field(default=0, metadata={"ge": 0, "lt": 2**63})
    limit: int = field(default=65536, metadata={"ge": MIN_PAGE_BYTES, "le": MAX_PAGE_BYTES})
    wait: float = field(default=0, metadata={"ge": 0, "le": 30})


def job_routes(jobs: Jobs, streams: Streams) -> tuple[Route, ...]:
    """Return the routes below `/jobs`."""

    async def list_jobs(call: Call) -> JobList:
        query: JobQuery = call.query
        found = await jobs.recent(
            workspace=query.workspace,
            state=query.state,
            prefix=query.prefix,
            limit=query.limit + 1,
            behind=position_of(query.cursor),
        )
        return JobList(*cut(found, query.limit, lambda job: (job.created_at, job.id)))

    async def get_job(call: Call) -> Job:
        return await jobs.get(call.path["job"])

    async def cancel_job(call: Call) -> Job:
        return await jobs.cancel(call.path["job"])

    async def get_log(call: Call) -> LogPage:
        query: LogQuery = call.query
        return await jobs.log(call.path["job"], offset=query.offset, limit=query.limit, wait=query.wait)

    async def stream_log(call: Call) -> web.StreamResponse:
        position = last_event_id(call.request)
        feed = follow_job_log(jobs, call.path["job"], call.query.offset if position is None else position)
        return await serve_feed(call.request, streams, feed, render_log)

    async def list_metrics(call: Call) -> MetricList:
        return MetricList(await jobs.metrics(call.path["job"]))

    return (
        Route(
            "GET", "/jobs", "list_jobs", "List jobs, the newest first.", list_jobs, JobList, query=JobQuery, tag="jobs"
        ),
        Route("GET", "/jobs/{job}", "get_job", "Show a job.", get_job, Job, tag="jobs"),
        Route("DELETE", "/jobs/{job}", "cancel_job", "Cancel a job.", cancel_job, Job, tag="jobs"),
        Route(
            "GET",
            "/jobs/{job}/log",
            "get_job_log",
            "Read a piece of a job's log; `wait` follows it.",
            get_log,
            LogPage,
            query=LogQuery,
            tag="jobs",
        ),
        Route(
            *(
                "GET",
                "/jobs/{job}/log/stream",
                "stream_job_log",
                "Follow a job's log as server-sent events.",
                stream_log,
            ),
            query=LogStreamQuery,
            media=MEDIA,
            tag="jobs",
        ),
        Route(
            "GET",
            "/jobs/{job}/metrics",
            "list_job_metrics",
            "List a job's metrics.",
            list_metrics,
            MetricList,
            tag="jobs",
        ),
    )
