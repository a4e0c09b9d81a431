"""The messages of pairing and of the link, version 1. Each travels as one JSON object; link messages carry their `type`.

Over the link go JSON text frames (these messages) and binary frames (`edgeloop_shared.records`, `edgeloop_shared.channels`).
After the upgrade the daemon sends `Welcome`; the device verifies it and answers `Hello`; the daemon answers `Acknowledge` with
the positions of the streams that `Hello` named, and from then on both speak freely.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from edgeloop_shared.bundles import MAX_MANIFEST_BYTES, SHA256_PATTERN, check_bundle_path
from edgeloop_shared.channels import MAX_LOST_SECONDS
from edgeloop_shared.clocks import ClockProbe, ClockReading
from edgeloop_shared.codec import printable
from edgeloop_shared.device_states import DeviceState
from edgeloop_shared.errors import InvalidInputError
from edgeloop_shared.models import NAME_PATTERN, DeviceInfo
from edgeloop_shared.network_reports import NetworkReport
from edgeloop_shared.operator_breakpoints import MAX_BREAKPOINTS, OperatorBreakpointOrder
from edgeloop_shared.records import stream_priority
from edgeloop_shared.tagged_json import dump, load

LINK_VERSIONS = (1,)
HEARTBEAT_SECONDS = 15.0  # of silence, then a ping; the link is lost after half as long again
MAX_FRAME_BYTES = 64 * 1024
MAX_MESSAGE_BYTES = 256 * 1024
MAX_UNAUTHENTICATED_BYTES = 4 * 1024
MAX_UNACKNOWLEDGED = 256  # records per stream
MAX_CHANNELS = 64  # of one device and one daemon
ACKNOWLEDGE_EVERY = 64
ACKNOWLEDGE_SECONDS = 0.25
VERSIONS_HEADER = "Edgeloop-Versions"

ID_PATTERN = "^[a-z0-9]{1,32}$"
_ID = re.compile("[a-z0-9]{1,32}")
HEX_NONCE = {"pattern": "^[0-9a-f]{64}$"}


@dataclass(frozen=True)
class PairStart:
    """`POST /v1/pair/start`, device to daemon."""

    versions: tuple[int, ...] = field(metadata={"min_length": 1, "max_length": 16})


@dataclass(frozen=True)
class PairStarted:
    """The answer to `PairStart`: the attempt's id, the daemon's nonce and the name that the phone's user is shown."""

    sid: str = field(metadata={"pattern": ID_PATTERN})
    server_nonce: str = field(metadata=HEX_NONCE)
    host_name: str = field(metadata={"min_length": 1, "max_length": 64, "pattern": NAME_PATTERN})
    version: int


@dataclass(frozen=True)
class PairFinish:
    """`POST /v1/pair/finish` on the same connection; the device's proof stands in `PROOF_HEADER`."""

    sid: str = field(metadata={"pattern": ID_PATTERN})
    client_nonce: str = field(metadata=HEX_NONCE)
    method: Literal["qr", "code"]
    info: DeviceInfo


@dataclass(frozen=True)
class PairFinished:
    """The answer to `PairFinish`; the daemon's proof stands in `PROOF_HEADER`. `device_key` is 32 bytes in hex."""

    device_id: str = field(metadata={"pattern": ID_PATTERN})
    device_key: str = field(repr=False, metadata=HEX_NONCE)


@dataclass(frozen=True)
class Welcome:
    """First message of the daemon. The device obeys nothing before `proof` (hex) verifies; `bearer` reads blobs."""

    version: int
    proof: str = field(metadata=HEX_NONCE)
    bearer: str = field(repr=False, metadata={"min_length": 16, "max_length": 128})
    host_name: str = field(metadata={"min_length": 1, "max_length": 64, "pattern": NAME_PATTERN})


@dataclass(frozen=True)
class Hello:
    """First message of the device. `epoch` changes when its spool starts anew; `streams` are those that it still holds.

    `runs` are the ids of the runs that it still works on: the daemon ends the others that it thought were there. `channels`
    are its open channels (`edgeloop_shared.channels`) and how much of each has come: the others have ended. `network` is what
    only the device knows of the way here, `state` what it would report as `DeviceState`.
    """

    epoch: str = field(metadata={"pattern": ID_PATTERN})
    info: DeviceInfo
    streams: tuple[str, ...] = field(default=(), metadata={"max_length": 4096})
    runs: tuple[str, ...] = field(default=(), metadata={"max_length": 1024})
    channels: Mapping[str, int] | None = field(default=None, metadata={"max_length": MAX_CHANNELS, "is_later": True})
    network: NetworkReport | None = field(default=None, metadata={"is_later": True})
    state: DeviceState | None = field(default=None, metadata={"is_later": True})

    def __post_init__(self) -> None:
        for stream in self.streams:
            stream_priority(stream)
        for run_id in self.runs:
            if _ID.fullmatch(run_id) is None:
                raise InvalidInputError(f"{printable(run_id)!r} is not the id of a run.")
        _check_positions(self.channels or {})


@dataclass(frozen=True)
class Acknowledge:
    """Per stream the last sequence number that is stored; everything up to it may be forgotten. Zero: nothing yet."""

    positions: Mapping[str, int] = field(metadata={"max_length": 4096})

    def __post_init__(self) -> None:
        for stream, position in self.positions.items():
            stream_priority(stream)
            if position < 0:
                raise InvalidInputError(f"The position {position} of {stream} is negative.")


@dataclass(frozen=True)
class RunTask:
    """Run a script. The manifest of its bundle (`BundleManifest` as JSON) is the blob `manifest`.

    `workspace` is an id, `workspace_name` what people call it. `memory_bytes` bounds what the script may allocate (none: the
    device's own bound). With `debug` a debugger is made ready before the script begins; with `wait` the script begins when a
    client has attached.
    """

    command_id: str = field(metadata={"pattern": ID_PATTERN})
    run_id: str = field(metadata={"pattern": ID_PATTERN})
    workspace: str = field(metadata={"max_length": 100, "pattern": NAME_PATTERN})
    manifest: str = field(metadata={"pattern": SHA256_PATTERN})
    manifest_bytes: int = field(metadata={"ge": 1, "le": MAX_MANIFEST_BYTES})
    script: str = field(metadata={"min_length": 1, "max_length": 512})
    arguments: tuple[str, ...] = field(default=(), metadata={"max_length": 1024})
    trace: bool = False
    memory_bytes: int | None = field(default=None, metadata={"ge": 1, "lt": 2**63, "is_later": True})
    debug: Literal["listen", "wait"] | None = field(default=None, metadata={"is_later": True})
    operator_breakpoints: tuple[OperatorBreakpointOrder, ...] | None = field(
        default=None, metadata={"max_length": MAX_BREAKPOINTS, "is_later": True}
    )
    workspace_name: str | None = field(
        default=None, metadata={"max_length": 100, "pattern": NAME_PATTERN, "is_later": True}
    )

    def __post_init__(self) -> None:
        check_bundle_path(self.script)
        if any("\0" in argument for argument in self.arguments):
            raise InvalidInputError("An argument holds a NUL character, which no process can be given.")


@dataclass(frozen=True)
class CancelTask:
    """End a run: its worker is asked to stop, and killed soon after."""

    command_id: str = field(metadata={"pattern": ID_PATTERN})
    run_id: str = field(metadata={"pattern": ID_PATTERN})


@dataclass(frozen=True)
class CommandResult:
    """The device's answer to a command: done or begun (`error` None), or refused (an error as a dictionary)."""

    command_id: str = field(metadata={"pattern": ID_PATTERN})
    error: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class OpenChannel:
    """Open a channel to the worker of a run, as soon as there is one.

    `purpose` is the first line that the worker is told. Its answer is the first line that comes back: `{}`, or an error as
    a dictionary. A device that cannot get so far ends the channel and says why. While the link is lost, both ends keep the
    channel for `lost_seconds` (600 by default).
    """

    channel: str = field(metadata={"pattern": ID_PATTERN})
    run_id: str = field(metadata={"pattern": ID_PATTERN})
    purpose: str = field(metadata={"pattern": "^[a-z]{1,32}$"})
    lost_seconds: float | None = field(default=None, metadata={"gt": 0, "le": MAX_LOST_SECONDS, "is_later": True})


@dataclass(frozen=True)
class ResumeChannels:
    """The daemon's answer to the channels in `Hello`: how much of each has come. Those that are missing have ended."""

    positions: Mapping[str, int] = field(metadata={"max_length": MAX_CHANNELS})

    def __post_init__(self) -> None:
        _check_positions(self.positions)


@dataclass(frozen=True)
class Unpair:
    """The device's user has forgotten this computer: the daemon revokes the device, which ends the link.

    `device_id` is the identity that is given up, the one of this link.
    """

    device_id: str = field(metadata={"pattern": ID_PATTERN})


def _check_positions(channels: Mapping[str, int]) -> None:
    for channel, position in channels.items():
        if _ID.fullmatch(channel) is None or position < 0:
            raise InvalidInputError(f"{printable(channel)!r} at {position} is no channel.")


Message = (
    Welcome
    | Hello
    | Acknowledge
    | RunTask
    | CancelTask
    | CommandResult
    | OpenChannel
    | ResumeChannels
    | ClockProbe
    | ClockReading
    | Unpair
    | DeviceState
)

MESSAGE_KINDS: dict[str, type[Message]] = {
    "welcome": Welcome,
    "hello": Hello,
    "acknowledge": Acknowledge,
    "run-task": RunTask,
    "cancel-task": CancelTask,
    "command-result": CommandResult,
    "open-channel": OpenChannel,
    "resume-channels": ResumeChannels,
    "clock-probe": ClockProbe,
    "clock-reading": ClockReading,
    "unpair": Unpair,
    "device-state": DeviceState,
}
"""The link messages by their `type`."""


def encode_message(message: Message) -> str:
    """Return the JSON text of a link message."""
    return dump(message, MESSAGE_KINDS).decode()


def decode_message(text: str) -> Message:
    """Return the link message in `text`. Raises `MessageError` for anything else."""
    return cast("Message", load(text, MESSAGE_KINDS, MAX_MESSAGE_BYTES))
