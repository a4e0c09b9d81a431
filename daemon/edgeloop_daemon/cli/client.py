"""The command line's HTTP client: the standard library's, because it starts in a few milliseconds."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from edgeloop_daemon.store.folders import Folders
from edgeloop_shared import process_lock
from edgeloop_shared.errors import DaemonUnreachableError, EdgeloopError, error_from_dict

if TYPE_CHECKING:
    import http.client

PREFIX = "/api/v1"
POLL_SECONDS = 10  # how long one long poll may wait on the daemon
TIMEOUT_SECONDS = 60
_CHUNK_BYTES = 256 * 1024
_RETRY_SECONDS = (0.2, 0.8)

Record = dict[str, Any]


class Client:
    """Calls of the local API of the daemon that serves `folders`; each may take `timeout` seconds."""

    def __init__(self, folders: Folders, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self.folders = folders
        self._timeout = timeout
        self._connection: http.client.HTTPConnection | None = None
        self._token = ""

    def is_running(self) -> bool:
        """Return whether the daemon lives and has told where it listens."""
        return self.folders.runtime.exists() and process_lock.is_held(self.folders.lock)

    def address(self) -> tuple[int, str]:
        """Return the API's port and its token. Raises `DaemonUnreachableError`."""
        runtime = _read_runtime(self.folders.runtime)
        return int(runtime["port"]), str(runtime["token"])

    def close(self) -> None:
        """Close the connection; a later call opens a new one."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def get(self, path: str, **query: Any) -> Record:
        """Return the answer to `GET path`; None values are left out of the query."""
        from urllib.parse import urlencode  # as in `_send`

        given = {name: _query_text(value) for name, value in query.items() if value is not None}
        return self.call("GET", f"{path}?{urlencode(given)}" if given else path)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Record:
        """Return the answer to `POST path`."""
        return self.call("POST", path, body or {})

    def start(self, path: str, body: Mapping[str, Any]) -> Record:
        """Return the answer to a `POST path` that starts work.

        When the connection breaks before the answer comes, the request is sent again: its `Idempotency-Key` sees to it that
        the work is started once, even if the daemon was ended and runs again.
        """
        key = {"Idempotency-Key": secrets.token_hex(16)}
        for seconds in _RETRY_SECONDS:
            try:
                return self.call("POST", path, body, key)
            except DaemonUnreachableError:
                time.sleep(seconds)
        return self.call("POST", path, body, key)

    def delete(self, path: str) -> Record:
        """Return the answer to `DELETE path`."""
        return self.call("DELETE", path)

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Record:
        """Send a request and return its JSON answer (an empty dictionary when there is none).

        Raises the error that the daemon answered, as the class that it had there.
        """
        data = self._send(method, path, body, headers or {})
        return cast("Record", json.loads(data)) if data else {}

    def download(self, path: str) -> bytes:
        """Return the bytes of `GET path`."""
        return self._send("GET", path, None, {})

    def download_to(self, path: str, target: Path) -> int:
        """Write the bytes of `GET path` to a file as they come; return how many. An earlier file stays until all have come."""
        part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        try:
            with part.open("wb") as file:
                for chunk in self._chunks("GET", path, None, {}):
                    file.write(chunk)
                size = file.tell()
            part.replace(target)
        except OSError as error:
            raise EdgeloopError(
                f"{target} cannot be written: {error.strerror}.", hint="Choose another --output."
            ) from None
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
        return size

    def items(self, path: str, **query: Any) -> list[Record]:
        """Return the items of a list."""
        return cast("list[Record]", self.get(path, **query)["items"])

    def job_log(self, job: str, *, follow: bool) -> Iterator[str]:
        """Yield the pieces of a job's log; with `follow` until the job ends."""
        offset = 0
        while True:
            page = self.get(f"/jobs/{job}/log", offset=offset, wait=POLL_SECONDS if follow else 0)
            if page["text"]:
                yield page["text"]
            if page["ended"] or (not follow and page["next_offset"] == offset):
                return
            offset = page["next_offset"]

    def run_log(self, run: str, *, follow: bool) -> Iterator[Record]:
        """Yield the lines of a run's log as `{time_ns, source, text}`; with `follow` until the run ends."""
        offset = 0
        while True:
            page = self.get(f"/runs/{run}/log", offset=offset, wait=POLL_SECONDS if follow else 0)
            yield from page["items"]
            if page["ended"] or (not follow and page["next_offset"] == offset):
                return
            offset = page["next_offset"]

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None, more_headers: Mapping[str, str]) -> bytes:
        return b"".join(self._chunks(method, path, body, more_headers))

    def _chunks(
        self, method: str, path: str, body: Mapping[str, Any] | None, more_headers: Mapping[str, str]
    ) -> Iterator[bytes]:
        """Yield the bytes of an answer as they come; one that is an error is raised."""
        import http.client  # 20 ms that `--help` and TAB need not spend

        payload = None if body is None else json.dumps(body).encode()
        headers = {**more_headers, **({"Content-Type": "application/json"} if payload else {})}
        try:
            connection = self._connected()
            headers["Authorization"] = f"Bearer {self._token}"
            connection.request(method, PREFIX + path, payload, headers)
            response = connection.getresponse()
            while chunk := response.read(_CHUNK_BYTES):
                if response.status >= 400:
                    raise error_of(response.status, chunk + response.read())
                yield chunk
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise DaemonUnreachableError(
                f"The daemon does not answer ({error or type(error).__name__}).",
                hint=f"See its log in {self.folders.logs}, then start it with `edgeloop up`.",
            ) from None
        if response.status >= 400:
            raise error_of(response.status, b"")

    def _connected(self) -> http.client.HTTPConnection:
        import http.client  # as in `_send`

        if self._connection is None:
            port, self._token = self.address()
            self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=self._timeout)
        return self._connection


def _read_runtime(path: Path) -> Record:
    try:
        record = json.loads(path.read_text())
        return {"port": int(record["port"]), "token": str(record["token"])}
    except FileNotFoundError:
        raise DaemonUnreachableError("The daemon is not running.", hint="Start it with `edgeloop up`.") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise DaemonUnreachableError(
            f"{path} does not tell where the daemon listens.", hint="`edgeloop doctor` says what is wrong with it."
        ) from None


def _query_text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def error_of(status: int, data: bytes) -> EdgeloopError:
    """Return the error of a refusing answer, as the class that it had in the daemon."""
    try:
        problem = json.loads(data)
        return error_from_dict({**problem, "message": problem["detail"]})
    except (ValueError, KeyError, TypeError):
        return EdgeloopError(f"The daemon answered {status} without saying why.")
