"""The local API of a daemon as it is installed: every route, seen by a stranger and by a web page."""

from __future__ import annotations

import http.client
import json
import re
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from daemon.device_daemon import device_daemon
from daemon.device_peer import PairingTry, RefusedError, call
from end_to_end.command_line import CommandLine

from edgeloop_shared.errors import MessageError
from edgeloop_shared.pairing import parse_offer


@dataclass(frozen=True)
class Api:
    """Where it listens, and the token of its user."""

    port: int
    token: str

    def ask(self, method: str, path: str, **headers: str) -> tuple[int, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            answer.read() if answer.status != 101 else None
            return answer.status, dict(answer.headers)
        finally:
            connection.close()


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    user = CommandLine(tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("user"))
    user.run("up", "--device-host", "127.0.0.1")
    runtime = json.loads((user.home / "runtime.json").read_text())
    yield Api(runtime["port"], runtime["token"])
    user.run("down", "--stop-jobs")


def operations(api: Api) -> list[tuple[str, str]]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{api.port}/api/v1/openapi.json", headers={"Authorization": f"Bearer {api.token}"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        document: dict[str, Any] = json.load(answer)
    return [
        (method.upper(), re.sub(r"\{[^}]*\}", "x", path))
        for path, methods in document["paths"].items()
        for method in methods
        if method in ("get", "post", "put", "patch", "delete")
    ]


def test_no_route_answers_without_a_token(api: Api) -> None:
    found = operations(api)
    assert len(found) > 25
    answers = {(method, path): api.ask(method, path)[0] for method, path in found}
    # Too many of them are told 429: that is no answer either.
    assert set(answers.values()) <= {401, 429}
    assert 401 in answers.values()
    assert api.ask("GET", "/api/v1/status", Authorization=f"Bearer {api.token}")[0] == 200


UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec_WebSocket_Version": "13",
    "Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


@pytest.mark.parametrize(
    ("origin", "site"),
    [("https://evil.example", "cross-site"), ("null", "cross-site"), ("http://127.0.0.1:1", "same-site")],
)
def test_a_web_page_opens_no_websocket(api: Api, origin: str, site: str) -> None:
    protocols = f"edgeloop.v1, bearer.{api.token}"  # even if it knew the token
    for headers in ({"Origin": origin}, {"Sec_Fetch_Site": site}):
        status, _ = api.ask("GET", "/api/v1/ws", **UPGRADE, Sec_WebSocket_Protocol=protocols, **headers)
        assert status == 403
    assert api.ask("GET", "/api/v1/ws", **UPGRADE)[0] in (401, 429)
    own = f"http://127.0.0.1:{api.port}"
    assert api.ask("GET", "/api/v1/ws", **UPGRADE, Sec_WebSocket_Protocol=protocols, Origin=own)[0] == 101


def test_a_page_is_told_nothing_that_its_browser_would_let_it_read(api: Api) -> None:
    status, headers = api.ask(
        "OPTIONS",
        "/api/v1/status",
        Origin="https://evil.example",
        Access_Control_Request_Method="GET",
        Access_Control_Request_Headers="authorization",
    )
    assert status == 403
    assert not [name for name in headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("name", ["a\x1b[2Jb", "a\u202eb", "a\u061cb", "a\x9bb", "a\nb", "a\u2028b", "", "x" * 65])
async def test_a_device_name_with_escapes_or_directions_does_not_pair(tmp_path: Path, name: str) -> None:
    async with device_daemon(tmp_path) as daemon:
        offer = parse_offer((await daemon.pairing.open()).offer)
        async with call(offer.port) as caller:
            attempt = PairingTry(caller)
            await attempt.start()
            with pytest.raises(RefusedError) as refused:
                await attempt.finish("qr", offer.secret, name=name)
        assert isinstance(refused.value.error, MessageError)
        assert refused.value.error.message.isprintable()
        assert daemon.devices.list() == ()


async def test_a_device_name_that_is_markup_stays_text(tmp_path: Path) -> None:
    async with device_daemon(tmp_path) as daemon:
        phone = await daemon.pair("<img src=x onerror=alert(1)>")
        assert daemon.devices.get(phone.id).info.name == "<img src=x onerror=alert(1)>"
