"""The rules of a pairing window, by a clock that tests set."""

from __future__ import annotations

import secrets

import pytest
from daemon.device_daemon import ManualClock

from edgeloop_daemon.devices.pairing_window import Attempt, Method, PairingWindow, WindowState
from edgeloop_shared.errors import BadProofError, NoPairingWindowError, RateLimitedError
from edgeloop_shared.pairing import session_key

STRETCHED = bytes(32)
NONCE = bytes(32)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def window(clock: ManualClock) -> PairingWindow:
    return PairingWindow(120.0, clock)


def right_proof(attempt: Attempt) -> bytes:
    return attempt.transcript.device_proof(session_key(STRETCHED, attempt.server_nonce, NONCE))


def try_wrongly(window: PairingWindow, method: Method, address: str = "10.0.0.1") -> None:
    attempt = window.begin(address)
    window.spend_try(attempt, method)
    with pytest.raises(BadProofError):
        window.verify(attempt, method, STRETCHED, NONCE, secrets.token_bytes(32))


def try_rightly(window: PairingWindow, method: Method = "code") -> bytes:
    attempt = window.begin("10.0.0.2")
    window.spend_try(attempt, method)
    return window.verify(attempt, method, STRETCHED, NONCE, right_proof(attempt))


def test_a_right_proof_is_answered_with_the_session_key(window: PairingWindow) -> None:
    attempt = window.begin("10.0.0.2")
    window.spend_try(attempt, "qr")
    key = window.verify(attempt, "qr", STRETCHED, NONCE, right_proof(attempt))
    assert key == session_key(STRETCHED, attempt.server_nonce, NONCE)


def test_after_one_success_nobody_else_comes_in_even_before_it_is_settled(window: PairingWindow) -> None:
    late = window.begin("10.0.0.3")
    try_rightly(window)
    with pytest.raises(NoPairingWindowError):
        window.begin("10.0.0.4")
    with pytest.raises(NoPairingWindowError):
        window.spend_try(late, "code")
    window.settle()
    assert window.state is WindowState.PAIRED


def test_of_two_right_proofs_in_flight_only_the_first_wins(window: PairingWindow) -> None:
    first, second = window.begin("10.0.0.2"), window.begin("10.0.0.3")
    window.spend_try(first, "qr")
    window.spend_try(second, "qr")
    window.verify(first, "qr", STRETCHED, NONCE, right_proof(first))
    with pytest.raises(NoPairingWindowError):
        window.verify(second, "qr", STRETCHED, NONCE, right_proof(second))


def test_four_wrong_codes_leave_one_try_and_the_fifth_closes_the_window(window: PairingWindow) -> None:
    for _ in range(4):
        try_wrongly(window, "code")
    assert window.state is WindowState.OPEN
    try_wrongly(window, "code")
    assert (window.state, window.wrong_tries) == (WindowState.GUESSED, 5)
    with pytest.raises(NoPairingWindowError):
        window.begin("10.0.0.1")


def test_codes_tried_at_once_are_counted_before_they_are_verified(window: PairingWindow) -> None:
    attempts = [window.begin(f"10.0.0.{number}") for number in range(6)]
    for attempt in attempts[:5]:
        window.spend_try(attempt, "code")
    with pytest.raises(RateLimitedError):
        window.spend_try(attempts[5], "code")


def test_wrong_qr_proofs_are_limited_to_two_a_second_and_never_close_the_window(
    window: PairingWindow, clock: ManualClock
) -> None:
    for _ in range(4):
        try_wrongly(window, "qr")
        try_wrongly(window, "qr")
        attempt = window.begin("10.0.0.1")
        with pytest.raises(RateLimitedError):
            window.spend_try(attempt, "qr")
        window.abandon(attempt)
        clock.now += 1.0
    assert window.state is WindowState.OPEN
    assert try_rightly(window, "qr")


def test_the_window_expires(window: PairingWindow, clock: ManualClock) -> None:
    attempt = window.begin("10.0.0.1")
    clock.now += 120.0
    assert (window.state, window.seconds_left) == (WindowState.EXPIRED, 0.0)
    with pytest.raises(NoPairingWindowError):
        window.spend_try(attempt, "code")


def test_a_proof_that_is_verified_after_the_end_comes_too_late(window: PairingWindow, clock: ManualClock) -> None:
    attempt = window.begin("10.0.0.1")
    window.spend_try(attempt, "code")
    clock.now += 120.0
    with pytest.raises(NoPairingWindowError):
        window.verify(attempt, "code", STRETCHED, NONCE, right_proof(attempt))


def test_an_attempt_has_one_try(window: PairingWindow) -> None:
    attempt = window.begin("10.0.0.1")
    window.spend_try(attempt, "code")
    with pytest.raises(NoPairingWindowError):
        window.spend_try(attempt, "code")


def test_two_attempts_per_address_and_sixteen_in_all_may_be_pending(window: PairingWindow) -> None:
    pending = [window.begin(f"10.0.0.{number // 2}") for number in range(4)]
    with pytest.raises(RateLimitedError):
        window.begin("10.0.0.0")
    window.abandon(pending[0])
    window.begin("10.0.0.0")
    for number in range(12):
        window.begin(f"10.0.1.{number}")
    with pytest.raises(RateLimitedError):
        window.begin("10.0.2.1")


def test_a_closed_window_stays_closed(window: PairingWindow) -> None:
    window.close()
    assert window.state is WindowState.CLOSED
    with pytest.raises(NoPairingWindowError):
        window.begin("10.0.0.1")
