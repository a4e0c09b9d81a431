"""Computers: who may run tasks here, how the link to each is, and how to switch off or forget one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from kivy.clock import Clock
from kivy.properties import BooleanProperty, NumericProperty, ObjectProperty, StringProperty
from kivy.uix.anchorlayout import AnchorLayout

from edgeloop_companion.store.computers import Computer, Computers
from edgeloop_companion.ui.error_texts import explanation, headline
from edgeloop_companion.ui.rules import load_rules
from edgeloop_companion.ui.texts import Words
from edgeloop_companion.ui.widgets.card import Card
from edgeloop_companion.ui.widgets.page import Page
from edgeloop_companion.ui.widgets.pressable import Pressable
from edgeloop_companion.ui.widgets.sheet import Question

load_rules(__file__)

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


class ForgetQuestion(Question):
    """Whether a computer is to be forgotten."""

    name = StringProperty()
    runs = NumericProperty(0)


class SwitchOffQuestion(Question):
    """Whether a computer whose tasks run here is to be switched off."""

    name = StringProperty()
    runs = NumericProperty(0)


class ComputerCard(Card):
    """One computer. Emits `on_switch` and `on_forget`."""

    computer = ObjectProperty(rebind=True)
    now = NumericProperty(0)
    """Monotonic seconds."""

    __events__ = ("on_switch", "on_forget")

    def on_switch(self) -> None:
        """Be told that it is to be switched to the other state."""

    def on_forget(self) -> None:
        """Be told that it is to be forgotten."""


class SwitchButton(Pressable, AnchorLayout):
    """A switch without words beside it. `text` says what it does, to who cannot see it."""

    text = StringProperty()
    is_on = BooleanProperty(False)


class ComputersScreen(Page):
    """The list. `pair` opens the screen on which another one is paired."""

    def __init__(self, store: Computers, pair: Callable[[], None]) -> None:
        self._store = store
        self._pair = pair
        self._cards: dict[str, ComputerCard] = {}
        super().__init__()
        self._none = self.ids.none.__self__

    def enter(self) -> None:
        """Follow the computers; every second, since their next attempts come nearer."""
        ticking = Clock.schedule_interval(self._tick, 1)
        self.while_seen(
            self._store.computers.watch(self._show), self._store.problem.watch(self.banner.show), ticking.cancel
        )

    def pair(self) -> None:
        """Pair another computer."""
        self._pair()

    async def _switch(self, computer: Computer) -> None:
        is_on = computer.state == "off"
        question = SwitchOffQuestion(name=computer.name, runs=computer.run_count)
        if is_on or not computer.run_count or await question.ask():
            self._store.switch(computer.device_id, is_on=is_on)

    async def _forget(self, computer: Computer) -> None:
        question = ForgetQuestion(name=computer.name, runs=computer.run_count)
        if computer.state == "revoked" or await question.ask():
            self._store.forget(computer.device_id)

    def _show(self, computers: tuple[Computer, ...]) -> None:
        self.remove_widget(self._none)
        if not computers:
            self.add_widget(self._none, index=len(self.column.children))
        order = [computer.device_id for computer in computers]
        cards = self.ids.cards
        if order != list(self._cards):
            cards.clear_widgets()
            self._cards = {
                computer.device_id: self._cards.get(computer.device_id) or self._card(computer)
                for computer in computers
            }
            for card in self._cards.values():
                cards.add_widget(card)
        for computer in computers:
            self._cards[computer.device_id].computer = computer
        self._tick()

    def _card(self, computer: Computer) -> ComputerCard:
        card = ComputerCard(computer=computer)
        card.bind(
            on_switch=lambda card: self.begin(self._switch(card.computer)),
            on_forget=lambda card: self.begin(self._forget(card.computer)),
        )
        return card

    def _tick(self, *_: Any) -> None:
        for card in self._cards.values():
            card.now = time.monotonic()


def status_of(computer: Computer, now: float) -> str:
    """Return which `StatusDot` a computer has."""
    if computer.state == "away":
        return "warning" if computer.wait_seconds(now) else "busy"
    return {"linked": "good", "off": "off", "revoked": "error"}[computer.state]


def state_in_words(words: Words, computer: Computer, now: float) -> str:
    """Return how the link to a computer is."""
    if computer.is_changing:
        return words("computers.changing")
    match computer.state:
        case "linked":
            return words("computers.linked")
        case "off":
            return words("computers.off")
        case "revoked":
            return words("computers.revoked")
    seconds = computer.wait_seconds(now)
    return words("computers.away", seconds=seconds) if seconds else words("computers.dialling")


def runs_in_words(words: Words, count: int) -> str:
    """Return how many tasks of a computer run here."""
    return words("computers.run") if count == 1 else words("computers.runs", count=count) if count else ""


def seen_in_words(words: Words, last_seen: float | None, now: float) -> str:
    """Return when there was a link; both times are seconds since the UNIX epoch."""
    if last_seen is None:
        return words("computers.seen.never")
    seconds = max(0.0, now - last_seen)
    if seconds < _MINUTE:
        return words("computers.seen.now")
    if seconds < _HOUR:
        return words("computers.seen.minutes", count=int(seconds // _MINUTE))
    if seconds < _DAY:
        return words("computers.seen.hours", count=int(seconds // _HOUR))
    return words("computers.seen.date", date=time.strftime("%Y-%m-%d %H:%M", time.localtime(last_seen)))


def details_in_words(words: Words, computer: Computer, now: float) -> str:
    """Return what else is known of a computer, a line for each."""
    lines = [computer.address]
    if computer.run_count:
        lines.append(runs_in_words(words, computer.run_count))
    if computer.state != "linked":
        lines.append(seen_in_words(words, computer.last_seen, time.time()))
    if computer.is_nearby(now):
        lines.append(words("computers.nearby"))
    elif computer.state == "away" and computer.reason:
        reason = headline(words, computer.reason_kind, computer.reason)
        lines += filter(None, (reason, explanation(words, computer.reason_kind, computer.reason)))
    elif computer.state == "revoked":
        lines.append(words("computers.revoked.hint"))
    return "\n".join(lines)
