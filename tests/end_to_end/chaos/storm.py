"""A storm: a real daemon and a virtual device that are killed at random moments while they work, and what is left in the end.

Scripts and tools write outside what they have done (how often they were begun); everything else about them is known. When the
storm is over, what the daemon has stored is compared with that: every line, metric, result, artifact and trace event, once.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from end_to_end.chaos import works

from edgeloop_daemon.cli.client import Client, Record
from edgeloop_daemon.cli.daemon_process import daemon_command
from edgeloop_daemon.store.folders import Folders
from edgeloop_shared.errors import DaemonUnreachableError, EdgeloopError

Victim = Literal["daemon", "companion"]
PLUGIN = Path(__file__).parent / "plugin"
DEVICE = "storm"
START_SECONDS = 60.0
SETTLE_SECONDS = 120.0
AT_ONCE = {"tool": 1, "train": 1, "run": 1}
_POLL_SECONDS = 0.01
_LOOK_SECONDS = 0.05

# A virtual device as it is, but one that dials again soon: between two kills the daemon lives for less than a second.
_COMPANION = """
import sys
from edgeloop_companion.link import reconnect
reconnect.LAST_BOUND_SECONDS = 0.2
from edgeloop_companion.main import main
sys.exit(main())
"""


@dataclass(frozen=True)
class _Request:
    """A request for work, which may be sent any number of times."""

    kind: str
    key: str
    path: str
    body: dict[str, Any]

    def send(self, client: Client) -> Record:
        return client.call("POST", self.path, self.body, {"Idempotency-Key": self.key})


@dataclass
class Storm:
    """One storm over a state folder of its own. `seed` decides when and whom it strikes; `victims` whom it may."""

    folder: Path
    seed: int
    victims: Sequence[Victim] = ("daemon", "companion")
    killed: Counter[Victim] = field(default_factory=Counter)
    begun: dict[str, str] = field(default_factory=dict)
    """The works that the daemon has confirmed: their kinds by id."""
    repeated: int = 0
    """Requests for work that were sent again, because the daemon was killed over them or just so."""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._work_random = random.Random(self.seed)  # of its own: how much work begins must not shift the strikes
        self._asked: list[_Request] = []
        self._found: list[str] = []
        self._truth = self.folder / "truth"
        self._truth.mkdir()
        self._workspace = self.folder / "workspace"
        self._home = Folders(self.folder / "home")
        self._home.create()
        self._device = self._home.virtual_devices / DEVICE
        self._device.mkdir()
        self._keys = 0
        self._workspace_id = ""
        self._daemon: subprocess.Popen[bytes] | None = None
        self._companion: subprocess.Popen[bytes] | None = None
        self._environment = {**os.environ, "PYTHONPATH": f"{install_plugin(self.folder)}:{PLUGIN}"}

    @contextlib.contextmanager
    def raging(self) -> Iterator[Storm]:
        """Start the daemon and the device, pair them, and end both after the block."""
        try:
            self._start_daemon()
            with contextlib.closing(self._await_daemon()) as client:
                opened = client.post("/workspaces/new", {"path": str(self._workspace), "template": "empty"})
                self._workspace_id = opened["id"]
                works.lay_out(self._workspace, self._truth)
                self._start_companion(client.post("/pairing", {"timeout_seconds": 60})["offer"])
                self._until(lambda: _is_linked(client), "the device links")
            yield self
        finally:
            for process in (self._daemon, self._companion):
                if process is not None:
                    process.terminate()
                    process.wait(30)

    def strike(self) -> None:
        """Let work go on, kill a victim at a random moment, and start it again.

        Only half of the strikes wait until the daemon serves: the others may come in the middle of its start, or of theirs.
        """
        victim = self._random.choice(tuple(self.victims))
        if victim == "daemon" and self._random.random() < 0.6:
            self._await_daemon()
        self._top_up(until=time.monotonic() + self._random.uniform(0.0, 0.6))
        self.killed[victim] += 1
        if victim == "daemon":
            assert self._daemon is not None
            self._daemon.kill()
            self._daemon.wait()
            self._start_daemon()
        else:
            assert self._companion is not None
            self._companion.kill()
            self._companion.wait()
            self._start_companion()

    def losses(self) -> list[str]:
        """Wait until everything has ended; return what is missing or doubled then, one sentence each."""
        with contextlib.closing(self._await_daemon()) as client:
            self._ask_again(client)
            self._until(lambda: not any(_unfinished(client)), "all work ends", SETTLE_SECONDS)
            return self._losses(client)

    def _losses(self, client: Client) -> list[str]:
        jobs = client.items("/jobs", limit=1000)
        runs = client.items("/runs", limit=1000)
        known = {record["id"] for record in (*jobs, *runs)}
        found = [*self._found, *(f"{key} ({kind}) is unknown" for key, kind in self.begun.items() if key not in known)]
        found += [f"{key} was never asked for" for key in known - self.begun.keys()]
        for job in jobs:
            key = job["id"] if job["kind"] == "train" else job["parameters"]["key"]
            found += [f"{job['kind']} {job['id']} (key {key}): {loss}" for loss in self._of_job(client, job, key)]
        for run in runs:
            found += [f"run {run['id']}: {loss}" for loss in self._of_run(client, run, run["arguments"][1])]
        return [*found, *_event_losses(client, jobs, runs), *self._leftovers(jobs)]

    # One kind of work each

    def _of_job(self, client: Client, job: Record, key: str) -> Iterator[str]:
        yield from self._ended_well(job, key)
        log = "".join(client.job_log(job["id"], follow=False))
        yield from _difference("log lines", _lines(key), [line for line in log.splitlines() if line.startswith(key)])
        yield from _metrics(client.items(f"/jobs/{job['id']}/metrics"))
        if job["kind"] == "tool":
            yield from _difference("result", {"key": key, "lines": works.LINES}, job["result"])
        elif job["result"]:
            artifact = self._workspace / "artifacts" / key / "weights.bin"
            yield from _difference("artifact", works.digest(key, works.ARTIFACT_BYTES), _hash(artifact.read_bytes()))
            yield from _difference("artifacts", [f"artifacts/{key}/weights.bin"], job["result"]["artifacts"])

    def _of_run(self, client: Client, run: Record, key: str) -> Iterator[str]:
        yield from self._ended_well(run, key)
        lines = [line["text"].rstrip("\n") for line in client.run_log(run["id"], follow=False)]
        yield from _difference("log lines", _lines(key), [line for line in lines if line.startswith(key)])
        yield from _metrics(client.items(f"/runs/{run['id']}/metrics"))
        yield from _difference("result", {"key": key, "lines": works.LINES}, run["result"])
        try:
            content = client.download(f"/runs/{run['id']}/files/{quote('report.bin')}")
            yield from _difference("file", works.digest(key, works.FILE_BYTES), _hash(content))
            if run["trace"]:
                events = json.loads(client.download(f"/runs/{run['id']}/trace"))["traceEvents"]
                counts = Counter(event["name"] for event in events if "mflops" in event.get("args", ()))
                yield from _difference("traced operators", {works.INFERENCES}, set(counts.values()))
        except EdgeloopError as error:
            yield str(error)

    def _ended_well(self, record: Record, key: str) -> Iterator[str]:
        if record["state"] != "succeeded":
            yield f"it {record['state']}: {record['error']}"
        truth = self._truth / key
        times = len(truth.read_text().splitlines()) if truth.exists() else 0
        yield from _difference("times executed", 1, times)

    def _leftovers(self, jobs: list[Record]) -> Iterator[str]:
        known = {job["id"] for job in jobs}
        for folder in self._home.jobs.iterdir():
            if folder.name not in known:
                yield f"the folder of a job that nobody knows: {folder.name}"
            if (folder / "files" / "tree").exists():
                yield f"a worktree was left behind: {folder}"
        for draft in self._workspace.glob("artifacts/.*.new"):
            yield f"half an artifact was left behind: {draft}"
        yield from _difference("works done", len(self.begun), len(list(self._truth.iterdir())))

    # Processes and requests

    def _top_up(self, until: float) -> None:
        """Keep some work of every kind going, whenever the daemon serves."""
        while time.monotonic() < until:
            with contextlib.suppress(DaemonUnreachableError), contextlib.closing(Client(self._home)) as client:
                if client.is_running():
                    self._ask_again(client)
                    active = Counter(_unfinished(client))
                    wanted = [kind for kind, count in AT_ONCE.items() if active[kind] < count]
                    if "run" in wanted and not _is_linked(client):
                        wanted.remove("run")
                    for kind in self._work_random.sample(wanted, len(wanted)):
                        self._ask(client, self._request(kind))
            time.sleep(max(0.0, min(_LOOK_SECONDS, until - time.monotonic())))

    def _request(self, kind: str) -> _Request:
        self._keys += 1
        key = f"k{self._keys}x"
        at = f"/workspaces/{self._workspace_id}"
        match kind:
            case "tool":
                body = {"truth": str(self._truth), "key": key, "lines": works.LINES}
                return _Request(kind, key, f"{at}/tools/recount", body)
            case "train":
                return _Request(kind, key, f"{at}/train", {})
            case _:
                traced = self._work_random.random() < 0.3
                arguments = [str(self._truth), key, "traced" if traced else "plain"]
                return _Request(kind, key, f"{at}/runs", {"script": "task.py", "arguments": arguments, "trace": traced})

    def _ask(self, client: Client, request: _Request) -> None:
        """Send a request; one that is not answered waits to be sent again, whatever became of it."""
        self._asked.append(request)
        try:
            answer = request.send(client)
        except DaemonUnreachableError:
            raise
        except EdgeloopError as error:
            if error.code != "device-unavailable":  # it may have gone in this moment
                raise
        else:
            self.begun[answer["id"]] = request.kind
            if self._work_random.random() < 0.1:
                self.repeated += 1
                again = request.send(client)["id"]
                self._found += _difference(f"the answer to {request.key} sent again", answer["id"], again)
        self._asked.remove(request)

    def _ask_again(self, client: Client) -> None:
        for request in tuple(self._asked):
            self.repeated += 1
            self._asked.remove(request)
            self._ask(client, request)

    def _start_daemon(self) -> None:
        self._home.runtime.unlink(missing_ok=True)
        with (self.folder / "daemon.out").open("ab") as output:
            self._daemon = subprocess.Popen(
                daemon_command(self._home, ["--device-host", "127.0.0.1"]),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def _start_companion(self, offer: str | None = None) -> None:
        command = [sys.executable, "-c", _COMPANION, "--state", str(self._device), "--name", DEVICE]
        command += ["--virtual", "--allow"]
        if offer is not None:
            (self._device / "offer").write_text(offer)
            command += ["--pair-offer-file", str(self._device / "offer")]
        with (self.folder / "companion.out").open("ab") as output:
            self._companion = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def _await_daemon(self) -> Client:
        client = Client(self._home)
        self._until(client.is_running, "the daemon starts")
        return client

    def _until(self, is_so: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not is_so():
            assert self._daemon is not None
            if self._daemon.poll() not in (None, -signal.SIGKILL):
                raise AssertionError(f"the daemon ended by itself:\n{(self.folder / 'daemon.out').read_text()[-3000:]}")
            if time.monotonic() > deadline:
                raise AssertionError(f"after {seconds:.0f} s still not: {what}")
            time.sleep(_POLL_SECONDS)


def install_plugin(folder: Path) -> Path:
    """Return a folder that, on the path of Python, makes the storm's plugin an installed distribution."""
    site = folder / "site"
    information = site / "chaos_plugin-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: chaos-plugin\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[edgeloop]\nchaos = chaos_plugin\n")
    return site


def _event_losses(client: Client, jobs: list[Record], runs: list[Record]) -> Iterator[str]:
    """Tell which change of state the log of events does not hold once, in the order of its cursors."""
    events: list[Record] = []
    since, latest = 0, 1
    while since < latest:
        page = client.get("/events", since=since, limit=1000)
        events += page["items"]
        since, latest = page["next"], page["latest"]
    cursors = [event["cursor"] for event in events]
    if cursors != sorted(set(cursors)):
        yield "the cursors of the events do not grow"
    told = Counter((event["kind"], event["data"].get(event["kind"].partition(".")[0])) for event in events)
    for noun, records in (("job", jobs), ("run", runs)):
        for record in records:
            for change in ("queued", "started", record["state"]):
                yield from _difference(
                    f"events {noun}.{change} of {record['id']}", 1, told[f"{noun}.{change}", record["id"]]
                )


def _is_linked(client: Client) -> bool:
    return any(device["is_linked"] for device in client.items("/devices"))


def _unfinished(client: Client) -> Iterator[str]:
    for state in ("queued", "running"):
        yield from (str(job["kind"]) for job in client.items("/jobs", state=state))
    yield from ("run" for run in client.items("/runs", limit=20) if run["ended_at"] is None)


def _lines(key: str) -> list[str]:
    return [f"{key} line {number}" for number in range(works.LINES)]


def _metrics(items: list[Record]) -> Iterator[str]:
    expected = [("number", number, number / 2) for number in range(works.LINES)]
    yield from _difference("metrics", expected, [(item["tag"], item["step"], item["value"]) for item in items])


def _difference(what: str, expected: Any, found: Any) -> Iterator[str]:
    if expected != found:
        yield f"{what}: {_short(found)} instead of {_short(expected)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 200 else f"{text[:100]} ... {text[-90:]}"


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
