"""The daemon's side of pairing, for the companion's tests; written from the protocol alone."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

from aiohttp import web

from edgeloop_shared.codec import decode_json, encode_json
from edgeloop_shared.errors import BadProofError, NoPairingWindowError
from edgeloop_shared.messages import PairFinish, PairFinished, PairStart, PairStarted
from edgeloop_shared.models import DeviceInfo
from edgeloop_shared.pairing import PROOF_HEADER, PairingTranscript, session_key, stretch
from edgeloop_shared.proofs import matches

from .peer_behaviour import Behaviour


class PeerPairing:
    """Pairs while `window` holds a secret; `register` knows a new device and returns its id and key."""

    def __init__(self, host_name: str, behaviour: Behaviour, register: Callable[[], tuple[str, bytes]]) -> None:
        self.fingerprint = b""
        self.window: bytes | None = None
        self.infos: dict[str, DeviceInfo] = {}
        self._host_name = host_name
        self._behaviour = behaviour
        self._register = register
        self._attempts: dict[str, tuple[web.BaseRequest, bytes, PairingTranscript]] = {}

    async def start(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        decode_json(PairStart, body, max_bytes=4096)
        sid, nonce = secrets.token_hex(8), secrets.token_bytes(32)
        answer = encode_json(PairStarted(sid, nonce.hex(), self._host_name, 1))
        transcript = PairingTranscript()
        transcript.add(body)
        transcript.add(answer)
        self._attempts[sid] = (request, nonce, transcript)
        return web.Response(body=answer, content_type="application/json")

    async def finish(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        finish = decode_json(PairFinish, body, max_bytes=4096)
        begun, nonce, transcript = self._attempts.pop(finish.sid)
        if begun.transport is not request.transport:
            raise NoPairingWindowError("The attempt was begun on another connection.")
        if self.window is None:
            raise NoPairingWindowError("No pairing window is open.")
        stretched = await asyncio.to_thread(stretch, self.window, self.fingerprint)
        key = session_key(stretched, nonce, bytes.fromhex(finish.client_nonce))
        transcript.add(body)
        if not matches(bytes.fromhex(request.headers[PROOF_HEADER]), transcript.device_proof(key)):
            raise BadProofError("The code is wrong.")
        self.window = None
        device_id, device_key = self._register()
        self.infos[device_id] = finish.info
        answer = encode_json(PairFinished(device_id, device_key.hex()))
        transcript.add(answer)
        proof = secrets.token_hex(32) if self._behaviour.wrong_pair_proof else transcript.daemon_proof(key).hex()
        if self._behaviour.reflect_pair_proof:
            proof = request.headers[PROOF_HEADER]
        return web.Response(body=answer, content_type="application/json", headers={PROOF_HEADER: proof})
