"""The one tree of errors. Every error has a stable code, says what happened, to what, and what to do next.

Errors cross the link and HTTP as plain dictionaries (`as_dict`) and come back as the same class (`error_from_dict`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class EdgeloopError(Exception):
    """Base of every error that is meant for the user.

    `message` says what happened and to what; `hint` what to do next; `details` holds JSON values that a program may
    read (an operator's name, a line number, MNN's own lines).
    """

    code: ClassVar[str] = "error"
    http_status: ClassVar[int] = 500
    registry: ClassVar[dict[str, type[EdgeloopError]]] = {}

    def __init_subclass__(cls) -> None:
        if cls.code in EdgeloopError.registry:
            raise TypeError(f"error code {cls.code!r} is declared twice")
        EdgeloopError.registry[cls.code] = cls

    def __init__(self, message: str, *, hint: str = "", details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details: dict[str, Any] = dict(details or {})

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form: `code`, `message`, and `hint` and `details` where there are any."""
        record: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.hint:
            record["hint"] = self.hint
        if self.details:
            record["details"] = self.details
        return record


EdgeloopError.registry[EdgeloopError.code] = EdgeloopError


def error_from_dict(record: Mapping[str, Any]) -> EdgeloopError:
    """Return the error that `as_dict` described; an unknown code becomes a plain `EdgeloopError` that keeps the text."""
    kind = EdgeloopError.registry.get(str(record.get("code", "")), EdgeloopError)
    details = record.get("details")
    return kind(
        str(record.get("message", "")),
        hint=str(record.get("hint", "")),
        details=details if isinstance(details, Mapping) else None,
    )


class InvalidInputError(EdgeloopError):
    """A value from the user, a file or a peer does not have the form that it must have.

    `details["fields"]` lists `{"field", "message"}` where single fields can be named.
    """

    code = "invalid-input"
    http_status = 422


class SettingsError(InvalidInputError):
    """An `edgeloop.toml` cannot be used; `details["line"]` is the 1-based line."""

    code = "invalid-settings"


class MessageError(InvalidInputError):
    """A frame or a message of a peer breaks the protocol or one of its limits."""

    code = "invalid-message"
    http_status = 400


class BundleError(InvalidInputError):
    """A bundle manifest names a path that is not allowed or exceeds a limit; `details["path"]` names the path."""

    code = "invalid-bundle"


class TooLargeError(InvalidInputError):
    """Something exceeds its size limit; `details` holds `limit` and, where known, `size` in bytes."""

    code = "too-large"
    http_status = 413


class NotFoundError(EdgeloopError):
    """What was asked for does not exist."""

    code = "not-found"
    http_status = 404


class ConflictError(EdgeloopError):
    """The request does not fit the present state (a name that is taken, a job that has ended)."""

    code = "conflict"
    http_status = 409


class KeyReusedError(ConflictError):
    """The `Idempotency-Key` of a request belongs to another request that came before."""

    code = "key-reused"


class NotTrustedError(EdgeloopError):
    """The workspace is not trusted yet, so nothing of it may run."""

    code = "not-trusted"
    http_status = 403


class UnauthorizedError(EdgeloopError):
    """The caller did not prove who it is."""

    code = "unauthorized"
    http_status = 401


class ForbiddenError(EdgeloopError):
    """The caller is known or irrelevant, and the request is refused (a foreign Origin, a foreign site)."""

    code = "forbidden"
    http_status = 403


class MisdirectedError(EdgeloopError):
    """The request was made for another host name: DNS rebinding looks like this."""

    code = "misdirected"
    http_status = 421


class RateLimitedError(EdgeloopError):
    """Too many requests in too short a time."""

    code = "rate-limited"
    http_status = 429


class DaemonUnreachableError(EdgeloopError):
    """No daemon answers and none could be started."""

    code = "daemon-unreachable"
    http_status = 503


class PortInUseError(EdgeloopError):
    """A port that was asked for belongs to another program; `details["port"]` names it."""

    code = "port-in-use"
    http_status = 409


class PairingError(EdgeloopError):
    """Pairing failed; the subclass says why."""

    code = "pairing-failed"
    http_status = 403


class NoPairingWindowError(PairingError):
    """No pairing window is open: the code was used, has expired, or too many wrong codes closed it."""

    code = "no-window"


class BadProofError(PairingError):
    """A proof of pairing or link does not verify: a wrong code, or somebody stands in between."""

    code = "bad-proof"


class ImpostorError(BadProofError):
    """Who answered a device does not know the pairing code: somebody stands between it and the computer."""

    code = "impostor"


class CertificateMismatchError(PairingError):
    """The peer's certificate is not the one that was scanned or pinned."""

    code = "certificate-mismatch"


class VersionMismatchError(EdgeloopError):
    """The two ends have no protocol version in common; `details` holds both lists."""

    code = "version-mismatch"
    http_status = 426


class NotPairedError(EdgeloopError):
    """The daemon does not know this device (any more)."""

    code = "not-paired"
    http_status = 401


class DeviceUnavailableError(EdgeloopError):
    """The device is not linked now."""

    code = "device-unavailable"
    http_status = 409


class DeviceVanishedError(EdgeloopError):
    """The device was lost while it ran a task and did not come back in time. The run may return with it, see `may_return`."""

    code = "device-vanished"
    http_status = 502


class TransferError(EdgeloopError):
    """A blob could not be transferred, or its bytes are not the announced ones."""

    code = "transfer-failed"
    http_status = 502


class CancelledByUserError(EdgeloopError):
    """The work was cancelled on request."""

    code = "cancelled"
    http_status = 409


class JobFailedError(EdgeloopError):
    """A job ended without a result; `details` holds the exit code or the signal and the last log lines."""

    code = "job-failed"


class TaskFailedError(EdgeloopError):
    """A task's script raised or does not compile; `details` holds `traceback`, and `file` and `line` of the user's code."""

    code = "task-failed"


class TaskCrashedError(EdgeloopError):
    """The worker process of a task died natively; `details` holds `signal` or `exit_code` and `native_output`."""

    code = "task-crashed"


class DebuggerError(EdgeloopError):
    """The debugger in a task refused a request or has gone; the message is its own."""

    code = "debugger-failed"
    http_status = 409


class ModelError(EdgeloopError):
    """A model cannot be loaded or run; `details["native_output"]` holds MNN's own lines, `details["mnn_code"]` its code."""

    code = "model-error"
    http_status = 422


class RunAbortedError(ModelError):
    """A breakpoint on an operator ended a run; `details` holds `model`, `operator`, `type`, `index`, `iteration`, `breakpoint`."""

    code = "run-aborted"
    http_status = 409


class ConversionError(ModelError):
    """A model tool did not do what it was asked to do.

    `details` may hold `operators` (`[{"type", "node"}]`, the unsupported ones) and `native_output`.
    """

    code = "conversion-failed"


class SourceControlError(EdgeloopError):
    """A Git operation failed; `details["native_output"]` holds Git's own lines."""

    code = "git-failed"
    http_status = 409


class StorageError(EdgeloopError):
    """What edgeloop keeps on this computer cannot be read or written."""

    code = "storage-failed"
    http_status = 500


class StorageFullError(StorageError):
    """The disk is full: nothing new can be stored; what is stored was not harmed."""

    code = "storage-full"
    http_status = 507


class StorageBusyError(StorageError):
    """Another program keeps the database locked."""

    code = "storage-busy"
    http_status = 503


class StorageDamagedError(StorageError):
    """The database is damaged and only read; `details` holds its `path` and the `copy` that is kept."""

    code = "storage-damaged"
    http_status = 503


class PluginError(EdgeloopError):
    """A plugin broke its side of the contract; `details["plugin"]` names it."""

    code = "plugin-failed"
