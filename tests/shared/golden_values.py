"""The values whose frames are golden: at least one of each message, event, record and file."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from edgeloop_shared import pairing
from edgeloop_shared.announcements import Announcement
from edgeloop_shared.bundles import BundleFile, BundleManifest
from edgeloop_shared.channels import ChannelFrame, pack_ending
from edgeloop_shared.clocks import ClockCompared, ClockProbe, ClockReading
from edgeloop_shared.codec import encode_json
from edgeloop_shared.device_states import DeviceState, Vitals
from edgeloop_shared.errors import ConflictError
from edgeloop_shared.messages import (
    Acknowledge,
    CancelTask,
    CommandResult,
    Hello,
    Message,
    OpenChannel,
    PairFinish,
    PairFinished,
    PairStart,
    PairStarted,
    ResumeChannels,
    RunTask,
    Unpair,
    Welcome,
)
from edgeloop_shared.models import DeviceInfo, RunState
from edgeloop_shared.network_reports import DialAttempt, NetworkReport
from edgeloop_shared.operator_breakpoints import OperatorBreakpointOrder
from edgeloop_shared.operator_hits import OperatorHitReported, TensorSummary
from edgeloop_shared.operator_stops import OperatorResumed, OperatorsMatched, OperatorStopped
from edgeloop_shared.progress import ProgressReported
from edgeloop_shared.records import Record
from edgeloop_shared.run_events import (
    Event,
    FileAnnounced,
    Gap,
    LogLine,
    MetricReported,
    ResultReported,
    TaskFinished,
    TaskStarted,
    TaskWaiting,
    TransferProgress,
)
from edgeloop_shared.spans import (
    CounterBatch,
    CounterTexts,
    Label,
    SpanBatch,
    SpanTexts,
    TraceStarted,
)
from edgeloop_shared.traces import Operator, OperatorTable, TraceBatch

KEY = bytes(range(32))
CERTIFICATE = bytes(range(32, 64))
SERVER_NONCE = bytes(range(64, 96))
CLIENT_NONCE = bytes(range(96, 128))
SECRET = bytes(range(16))

INFO = DeviceInfo(
    name="Pixel 8 von Jürgen",
    platform="android",
    system="Android 15",
    processor="Tensor G3",
    cores=9,
    memory_bytes=8 * 1024**3,
    app_version="0.1.0",
    python_version="3.11.9",
    mnn_version="3.6.1",
)
ERROR = {"code": "task-failed", "message": "It raised.", "details": {"file": "task.py", "line": 3}}

STATE = DeviceState(
    activity="background",
    vitals=Vitals(
        battery_percent=83,
        is_charging=False,
        battery_celsius=31.5,
        processor_celsius=None,
        throttling="light",
        free_bytes=2**40,
    ),
)

PAIRING_MESSAGES: dict[str, Any] = {
    "start": PairStart(versions=(1,)),
    "started": PairStarted(sid="s1", server_nonce=SERVER_NONCE.hex(), host_name="desk", version=1),
    "finish": PairFinish(sid="s1", client_nonce=CLIENT_NONCE.hex(), method="qr", info=INFO),
    "finished": PairFinished(device_id="d1", device_key=KEY.hex()),
}
MESSAGES: dict[str, Message] = {
    "welcome": Welcome(version=1, proof=KEY.hex(), bearer="bearer-of-sixteen-or-more", host_name="desk"),
    "hello": Hello(epoch="e1", info=INFO, streams=("r1.events", "r1.logs"), runs=("r1",)),
    "acknowledge": Acknowledge(positions={"r1.events": 3, "r1.traces": 0}),
    "run-task": RunTask(
        command_id="c1",
        run_id="r1",
        workspace="digits",
        manifest="ab" * 32,
        manifest_bytes=512,
        script="tasks/evaluate.py",
        arguments=("--limit", "ü"),
        trace=True,
    ),
    "run-task with a memory limit": RunTask(
        command_id="c1",
        run_id="r1",
        workspace="digits",
        manifest="ab" * 32,
        manifest_bytes=512,
        script="tasks/evaluate.py",
        arguments=("--limit", "ü"),
        trace=True,
        memory_bytes=256 * 1024**2,
    ),
    "run-task to debug": RunTask(
        command_id="c1",
        run_id="r1",
        workspace="digits",
        manifest="ab" * 32,
        manifest_bytes=512,
        script="tasks/evaluate.py",
        debug="wait",
    ),
    "run-task of a workspace with a name": RunTask(
        command_id="c1",
        run_id="r1",
        workspace="w1",
        manifest="ab" * 32,
        manifest_bytes=512,
        script="tasks/evaluate.py",
        workspace_name="digits",
    ),
    "hello with channels": Hello(epoch="e1", info=INFO, runs=("r1",), channels={"k1": 2**40}),
    "hello with a report of the network": Hello(
        epoch="e1",
        info=INFO,
        network=NetworkReport(
            time_ns=1_750_000_000_000_000_000,
            mdns="on",
            was_knocked=True,
            failed=(DialAttempt(address="192.168.1.5", port=4711, outcome="timeout", times=2),),
        ),
    ),
    "hello with the device's state": Hello(epoch="e1", info=INFO, state=STATE),
    "device-state": STATE,
    "device-state of one that tells nothing": DeviceState(),
    "open-channel": OpenChannel(channel="k1", run_id="r1", purpose="debugger"),
    "open-channel that is kept for an hour": OpenChannel(
        channel="k1", run_id="r1", purpose="debugger", lost_seconds=3600.0
    ),
    "resume-channels": ResumeChannels(positions={"k1": 7}),
    "run-task with breakpoints on operators": RunTask(
        command_id="c1",
        run_id="r1",
        workspace="digits",
        manifest="ab" * 32,
        manifest_bytes=512,
        script="tasks/evaluate.py",
        operator_breakpoints=(
            OperatorBreakpointOrder(
                id="b1",
                selector="op:conv* @3",
                when="cosine_to_reference < 0.99",
                action="wait",
                hit=">= 2",
                reference="references/conv",
                first_only=True,
                reports=5,
            ),
        ),
    ),
    "cancel-task": CancelTask(command_id="c2", run_id="r1"),
    "command-result": CommandResult(command_id="c1"),
    "command-refused": CommandResult(command_id="c1", error=ERROR),
    "clock-probe": ClockProbe(sent_ns=5),
    "clock-reading": ClockReading(sent_ns=5, host_ns=1_700_000_000_000_000_000),
    "unpair": Unpair(device_id="d1"),
}
HIT = OperatorHitReported(
    time_ns=3,
    breakpoint="op:conv* when nan_count > 0",
    model="digits.mnn",
    operator="conv1",
    operator_type="Convolution",
    index=1,
    iteration=4,
    phase="after",
    answer="continue",
    hit=2,
    tensor=0,
    tensors=(TensorSummary((1, 3), "float32", 3, 1, 1, 0.5, 0.5, 0.5, 0.0, 0.5, 0.5, (0.5, "nan", "-inf")),),
)
EVENTS: dict[str, Event] = {
    "waiting": TaskWaiting(before=2),
    "waiting with others": TaskWaiting(before=2, before_of_others=1, running=8, running_of_others=3),
    "started": TaskStarted(time_ns=1_700_000_000_000_000_000),
    "finished": TaskFinished(time_ns=1, state=RunState.SUCCEEDED, logs=7, traces=0),
    "failed": TaskFinished(time_ns=1, state=RunState.FAILED, logs=7, traces=2, error=ERROR),
    "transfer": TransferProgress(received=4096, total=8192),
    "metric": MetricReported(name="accuracy", value=0.5),
    "metric of a step": MetricReported(name="loss", value=3.0, step=12),
    "progress": ProgressReported(done=3.0, total=10.0, text="resizing"),
    "progress without a total": ProgressReported(done=0.5),
    "result": ResultReported(values={"accuracy": 0.97, "labels": (1, 2), "note": None}),
    "file": FileAnnounced(name="predictions.npy", sha256="cd" * 32, size=2048),
    "operator table": OperatorTable(
        session=1,
        model="digits.mnn",
        backend="cpu",
        clock_offset_ns=-5,
        operators=(Operator("conv1", "Convolution", ((1, 1, 8, 8),), ((1, 16, 8, 8),), 0.25),),
    ),
    "operator table with its session's options": OperatorTable(
        1, "digits.mnn", "opencl", 0, (Operator("conv1", "Convolution"),), threads=4, precision="low"
    ),
    "operator table with nodes of the source model": OperatorTable(
        1, "digits.mnn", "cpu", 0, (Operator("conv1", "Convolution", source="/stem/Conv (Conv)"),)
    ),
    "trace started": TraceStarted(7, -5, 0.25, ("memory MB",), {"processor MHz": "this system does not tell it"}),
    "clocks compared": ClockCompared(device_ns=7, host_ns=1_700_000_000_000_000_000, error_ns=90_000, round_trips=8),
    "operator hit": HIT,
    "operator hit at a node of the source model": replace(HIT, source="/stem/Conv (Conv)"),
    "operator stopped": OperatorStopped(stop=1, hit=HIT, inputs=(), outputs=HIT.tensors),
    "operator resumed": OperatorResumed(time_ns=4, stop=1, answer="replace"),
    "operators matched": OperatorsMatched(
        id="b1", breakpoint="op:conv*", model="digits.mnn", count=2, names=("conv1", "conv2")
    ),
}
LOG_LINES = {"line": LogLine(time_ns=2, source="stderr", text="Grüße\tend")}
MANIFESTS = {
    "two files": BundleManifest(
        (BundleFile("task.py", "ab" * 32, 12), BundleFile("tools/führen.sh", "cd" * 32, 0, mode=0o755))
    )
}
RECORDS = {
    "whole": Record("r1.events", 1, b'{"type":"started","time_ns":1}'),
    "continued": Record("r1.traces", 2**40, b"\x00\xff", continued=True),
    "empty": Record("r1.logs", 3, b""),
    "gap": Record("r1.logs", 4, encode_json(Gap(12, 340, "spool-full", 5, 6)), is_gap=True),
}
CHANNEL_FRAMES = {
    "bytes": ChannelFrame("k1", 2**40, 7, b"Content-Length: 2\r\n\r\n{}"),
    "acknowledgement": ChannelFrame("k1", 12, 2**40),
    "end": ChannelFrame("k1", 12, 0, pack_ending(ConflictError("Taken.", hint="Wait.")), ends=True),
}
BATCHES = {
    "empty": TraceBatch(1, (), (), (), ()),
    "three events": TraceBatch(7, (0, 1, 0), (0, 0, 1), (10**18, 10**18 + 5, 10**18 + 9), (5, 4, 2**33)),
}
SPANS = {
    "empty": SpanBatch(SpanTexts(), (), (), (), (), (), ()),
    "a run in a span": SpanBatch(
        SpanTexts(
            (Label("span", "frame"), Label("run", "digits.mnn", 0)), ("MainThread",), {"1": {"images": 8, "cold": True}}
        ),
        (1, 0),
        (0, 0),
        (1, 0),
        (3, 0),
        (10**18 + 5, 10**18),
        (4, 2**33),
        2,
    ),
}
COUNTERS = {
    "empty": CounterBatch(CounterTexts(), (), ()),
    "two samples": CounterBatch(
        CounterTexts(("memory MB", "processor °C")), (10**18, 10**18 + 5), ((1.5, 2.0), (40.0, 41.0))
    ),
}
OFFERS = {
    "one address": pairing.PairingOffer(8765, ("192.168.1.7",), CERTIFICATE, SECRET),
    "two addresses": pairing.PairingOffer(443, ("10.0.0.2", "fd00::1:2"), CERTIFICATE, SECRET),
}


ANNOUNCEMENTS = {
    "a phone with two pairings": Announcement(bytes(range(16)), (b"tag  1", b"tag  2")),
}
KNOCKS = {"a knock": (KEY, bytes(range(16)), 4711, 2**40)}
