"""Pair: the camera, the typed code, and what went wrong and what to try."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kivy.core.clipboard import Clipboard
from kivy.properties import BooleanProperty, ObjectProperty, StringProperty

from edgeloop_companion.store.pairing_attempt import (
    AskingPermission,
    Connecting,
    Done,
    Failed,
    Finishing,
    Idle,
    PairingAttempt,
    Problem,
    Scanning,
    Step,
)
from edgeloop_companion.store.settings import MAX_ADDRESS, SettingsStore
from edgeloop_companion.ui.rules import load_rules
from edgeloop_companion.ui.widgets.page import Page
from edgeloop_companion.ui.widgets.sheet import Question

load_rules(__file__)

MAX_TEXT = 1000

# What went wrong, and what to try.
PROBLEMS: dict[Problem, tuple[str, str]] = {
    Problem.WRONG_CODE: ("pair.wrong-code", "pair.wrong-code.hint"),
    Problem.EXPIRED: ("pair.expired", "pair.expired.hint"),
    Problem.TOO_MANY_TRIES: ("pair.too-many", "pair.too-many.hint"),
    Problem.UNREACHABLE: ("pair.unreachable", "pair.unreachable.hint"),
    Problem.CERTIFICATE: ("pair.certificate", "pair.certificate.hint"),
    Problem.IN_BETWEEN: ("pair.in-between", "pair.in-between.hint"),
    Problem.VERSION: ("pair.version", "pair.version.hint"),
    Problem.REFUSED: ("pair.refused", "pair.refused.hint"),
    Problem.BUSY: ("pair.busy", "pair.busy.hint"),
    Problem.NO_CAMERA: ("pair.no-camera", "pair.no-camera.hint"),
    Problem.CAMERA_REFUSED: ("pair.camera-refused", "pair.camera-refused.hint"),
    Problem.NOT_A_CODE: ("pair.not-a-code", "pair.not-a-code.hint"),
    Problem.NOT_AN_ADDRESS: ("pair.not-an-address", "pair.not-an-address.hint"),
    Problem.NOT_AN_OFFER: ("pair.not-an-offer", "pair.not-an-offer.hint"),
    Problem.OTHER: ("pair.other", "pair.other.hint"),
}
_HAS_WORDS_OF_ITS_OWN = (Problem.OTHER, Problem.NO_CAMERA)
_CONCERNS_AN_ADDRESS = (Problem.UNREACHABLE, Problem.CERTIFICATE)


class PermissionQuestion(Question):
    """Whether a computer may run code here."""

    host_name = StringProperty()
    address = StringProperty()


class PairScreen(Page):
    """Follows a `PairingAttempt`. `finished` is called when the user has seen that a computer is paired."""

    step = ObjectProperty(Idle())
    saw_another = BooleanProperty(False)
    address = StringProperty()
    """Where the computer is dialled."""
    host_name = StringProperty()
    problem = StringProperty("pair.other")
    hint = StringProperty("pair.other.hint")
    details = StringProperty()
    code = StringProperty()
    """Of the error whose words `details` are."""

    def __init__(self, attempt: PairingAttempt, settings: SettingsStore, finished: Callable[[], object]) -> None:
        self._attempt = attempt
        self._settings = settings
        self._finished = finished
        super().__init__()
        scan, typed, work, done, failed = (
            self.ids[name].__self__ for name in ("scan", "typed", "work", "done", "failed")
        )
        self._parts: dict[type[Step], tuple[Any, ...]] = {
            Idle: (scan, typed),
            Scanning: (scan, typed),
            Connecting: (work,),
            AskingPermission: (work,),
            Finishing: (work,),
            Done: (done,),
            Failed: (failed, typed),
        }
        self.column.clear_widgets()  # each step shows its own

    def enter(self) -> None:
        """Look for a code at once: that is why one comes here."""
        self.ids.address.text = self._settings.settings.value.last_address
        view = self.ids.view
        self._attempt.scan()
        self.while_seen(
            self._attempt.step.watch(self._show),
            self._attempt.picture.watch(view.show),
            self._attempt.torch.watch(lambda torch: setattr(view, "torch", torch)),
        )

    def leave(self) -> None:
        """Switch off the camera, and give up what was begun."""
        super().leave()
        self._attempt.cancel()

    def scan(self) -> None:
        """Give up what was begun, and look for a code."""
        self._attempt.scan()

    def type_code(self) -> None:
        """Pair by what is typed."""
        address = self.ids.address.text.strip()[:MAX_ADDRESS]
        self._settings.change(last_address=address)
        self._attempt.type_code(address, self.ids.code.text)

    def paste(self) -> None:
        """Pair by the text that is in the clipboard."""
        self._attempt.take_offer(str(Clipboard.paste())[:MAX_TEXT])

    def finish(self) -> None:
        """Go where the paired computer is seen."""
        self._finished()

    def switch_torch(self) -> None:
        """Switch the camera's light."""
        self._attempt.switch_torch(is_on=not self._attempt.torch.value)

    def _show(self, step: Step) -> None:
        before, self.step = self._parts[type(self.step)], step
        if before != self._parts[type(step)] or not self.column.children:
            self.column.clear_widgets()
            for part in self._parts[type(step)]:
                self.column.add_widget(part)
        match step:
            case Scanning(saw_another):
                self.saw_another = saw_another
            case Connecting(address):
                self.address, self.host_name = address, ""
            case AskingPermission(host_name, address):
                self.begin(self._ask(PermissionQuestion(host_name=host_name, address=address)))
            case Finishing(host_name):
                self.host_name = host_name
            case Done(host_name):
                self.host_name = host_name
                self.ids.code.text = ""
            case Failed(problem, details, code):
                self.problem, self.hint = PROBLEMS[problem]
                self.details = details if problem in _HAS_WORDS_OF_ITS_OWN else ""
                self.code = code if problem is Problem.OTHER else ""
                if problem in _CONCERNS_AN_ADDRESS:
                    self.details = self.address

    async def _ask(self, question: PermissionQuestion) -> None:
        self._attempt.answer(is_allowed=await question.ask())
