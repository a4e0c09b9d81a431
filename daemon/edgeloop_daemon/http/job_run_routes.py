"""The route on which jobs run scripts on devices."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeloop_daemon.devices.bundles import JobScript
from edgeloop_daemon.devices.run_table import Run
from edgeloop_daemon.devices.runs import Runs
from edgeloop_daemon.http.routes import Accepted, Call, Route
from edgeloop_daemon.http.run_routes import FindWorkspace
from edgeloop_daemon.jobs.job_doors import JobDoors
from edgeloop_daemon.jobs.jobs import Jobs
from edgeloop_daemon.store.tables import Tables
from edgeloop_shared.errors import ConflictError


@dataclass(frozen=True)
class StartJobRun:
    """What to run for a job: `script` by its path in the bundle.

    `files` of the workspace travel by their path from its root, `job_files` of the job's folder below `.edgeloop/job/`. With
    `like`, a script of the workspace, what a run of that with `like_arguments` takes along goes as well. `device` is an id or a
    name (null: the workspace's, else the only linked one).
    """

    script: str = field(metadata={"min_length": 1, "max_length": 512})
    arguments: tuple[str, ...] = field(default=(), metadata={"max_length": 1024})
    files: tuple[str, ...] = field(default=(), metadata={"max_length": 1024})
    job_files: tuple[str, ...] = field(default=(), metadata={"max_length": 1024})
    like: str | None = field(default=None, metadata={"min_length": 1, "max_length": 512})
    like_arguments: tuple[str, ...] = field(default=(), metadata={"max_length": 1024})
    device: str | None = None


def job_run_routes(jobs: Jobs, doors: JobDoors, runs: Runs, find_workspace: FindWorkspace) -> tuple[Route, ...]:
    """Return the route."""

    async def start_job_run(call: Call) -> Accepted:
        body: StartJobRun = call.body
        job = await jobs.get(call.path["job"])
        folder = doors.folder(job.id)
        script = JobScript(
            body.script, body.arguments, body.files, body.job_files, folder.files, body.like, body.like_arguments
        )
        begins = call.begins("/runs")

        def remember(tables: Tables, run: str) -> None:
            begins(tables, run)
            doors.add_run(job.id, run)

        run = await runs.start_job_script(
            await find_workspace(job.workspace), script, device=body.device, also=remember
        )
        return Accepted(f"/runs/{run.id}", run)

    return (
        Route(
            *(
                "POST",
                "/jobs/{job}/runs",
                "start_job_run",
                "Run a script on a device for a job that runs.",
                start_job_run,
            ),
            result=Run,
            body=StartJobRun,
            status=202,
            tag="jobs",
            errors=(ConflictError,),
        ),
    )
