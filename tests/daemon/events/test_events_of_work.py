"""What the parts of the daemon tell the log: each change of state once, with the workspace that it belongs to."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest
from daemon.device_daemon import device_daemon
from daemon.device_peer import RefusedError, link, pair_by_code
from daemon.events.conftest import SECONDS, Api
from daemon.jobs.conftest import TESTS
from daemon.jobs.job_handlers import REFERENCE, Work

from edgeloop_daemon.events.event_log import EventLog, open_event_log
from edgeloop_shared.models import RunState
from edgeloop_shared.progress import ProgressReported
from edgeloop_shared.run_events import FileAnnounced, TaskFinished, TaskStarted, TransferProgress


async def told(log: EventLog, group: str) -> list[tuple[str, str | None]]:
    """Return the kinds of a group's events, each with its workspace."""
    page = await log.page(0)
    return [(event.kind.partition(".")[2], event.workspace) for event in page.items if event.kind.startswith(group)]


@pytest.mark.parametrize(("handler", "last"), [("report_often", "succeeded"), ("raise_an_error", "failed")])
async def test_a_job_tells_its_life(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handler: str, last: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    workspace = api.daemon.workspace
    job = await api.jobs.start(
        workspace=workspace.id,
        workspace_path=workspace.root,
        kind="tool",
        name="tool",
        handler=f"{REFERENCE}:{handler}",
        parameters=Work(number=3, gate="/dev/null"),
    )
    await api.jobs.wait(job.id, SECONDS)
    kinds = await told(api.log, "job")
    ends = [event for event in (await api.log.page(0)).items if event.kind == f"job.{last}"]
    assert [one for one in kinds if one[0] != "progress"] == [("queued", "w1"), ("started", "w1"), (last, "w1")]
    assert len([one for one in kinds if one[0] == "progress"]) <= 1  # at most two a second, and it took less
    assert ends[0].data["job"] == job.id
    if last == "failed":
        assert (ends[0].data["code"], ends[0].data["message"]) == ("conversion-failed", "Cannot convert.")


async def test_a_cancelled_job_tells_so(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    workspace = api.daemon.workspace
    for _ in range(4):  # more than run at once, so that some are cancelled while they wait
        await api.jobs.start(
            workspace=workspace.id,
            workspace_path=workspace.root,
            kind="tool",
            name="tool",
            handler=f"{REFERENCE}:echo",
            parameters=Work(),
        )
    await api.jobs.stop_all()
    kinds = [kind for kind, _ in await told(api.log, "job")]
    assert kinds.count("queued") == 4
    assert kinds.count("cancelled") >= 1
    assert kinds.count("cancelled") + kinds.count("succeeded") == 4


async def test_a_run_tells_its_life_and_its_device_too(tmp_path: Path) -> None:
    async with device_daemon(tmp_path) as daemon, open_event_log(daemon.database) as log:
        (daemon.workspace.root / "task.py").touch()
        phone = await daemon.pair("pocket")
        async with link(phone) as linked:
            run = await daemon.runs.start(daemon.workspace, "task.py")
            await linked.accept()
            for received in range(0, 101, 10):
                await linked.report(run.id, TransferProgress(received, 100))
            await linked.report(run.id, TaskStarted(1))
            for done in range(100):
                await linked.report(run.id, ProgressReported(done, 100, f"image {done}"))
            announced = FileAnnounced("out.txt", hashlib.sha256(b"").hexdigest(), 0)
            await linked.report(run.id, announced)
            await linked.report(run.id, announced)
            await linked.report(run.id, TaskFinished(0, RunState.SUCCEEDED, 0, 0))
            await daemon.runs.get(run.id, SECONDS)
        await daemon.unlinked()
        await daemon.devices.revoke(phone.id)
        kinds = [kind for kind, workspace in await told(log, "run") if workspace == "w1"]
        often = ("transfer", "progress")
        assert [kind for kind in kinds if kind not in often] == ["queued", "started", "file", "succeeded"]
        assert 1 <= kinds.count("transfer") <= 3
        assert 1 <= kinds.count("progress") < 50  # at most two a second
        data = {event.kind: event.data for event in (await log.page(0)).items}
        assert data["run.transfer"] == {"run": run.id, "received": 100, "total": 100}
        assert data["run.progress"] == {"run": run.id, "done": 99, "total": 100, "text": "image 99"}
        assert await told(log, "device") == [(kind, None) for kind in ("paired", "linked", "unlinked", "revoked")]
        assert [kind for kind, _ in await told(log, "pairing")] == ["opened", "closed"]


async def test_the_last_progress_is_told_although_the_run_says_no_more(tmp_path: Path) -> None:
    async with device_daemon(tmp_path) as daemon, open_event_log(daemon.database) as log:
        (daemon.workspace.root / "task.py").touch()
        async with link(await daemon.pair("pocket")) as linked:
            run = await daemon.runs.start(daemon.workspace, "task.py")
            await linked.accept()
            for done in (1, 2, 3):
                await linked.report(run.id, ProgressReported(done))
            told: object = None
            async with asyncio.timeout(30):
                while told != 3:
                    latest = log.latest
                    for event in (await log.page(0)).items:
                        told = event.data["done"] if event.kind == "run.progress" else told
                    if told != 3:
                        await log.wait(latest)


async def test_pairing_tells_how_it_went(tmp_path: Path) -> None:
    async with device_daemon(tmp_path) as daemon, open_event_log(daemon.database) as log:
        window = await daemon.pairing.open()
        wrong = "".join("0" if character != "0" else "1" for character in window.code)
        with pytest.raises(RefusedError):
            await pair_by_code(window.port, wrong)
        await daemon.pairing.close()
        await daemon.pairing.close()
        await daemon.pairing.open(0.01)
        await daemon.pairing.wait(SECONDS)
        events = [event for event in (await log.page(0)).items if event.kind.startswith("pairing.")]
    assert [(event.kind, event.data.get("state")) for event in events] == [
        ("pairing.opened", None),
        ("pairing.wrong-try", None),
        ("pairing.closed", "closed"),
        ("pairing.opened", None),
        ("pairing.closed", "expired"),
    ]
