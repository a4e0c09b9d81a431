"""The prompt of a debug session in the terminal: go on, step, look at values and change them where a script has stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import click

from edgeloop_daemon.cli.client import Record
from edgeloop_daemon.cli.output import clean, clean_lines
from edgeloop_shared.errors import EdgeloopError

_STEPS = {"continue": "continue", "next": "next", "step": "stepIn", "out": "stepOut"}
_NAMES = (*_STEPS, "where", "quit", "detach", "help")
_HELP = """\
  c, continue   go on to the next stop
  n, next       go on to the next line
  s, step       go into the function that is called
  o, out        go on until the function has returned
  w, where      show again where the script has stopped
  d, detach     leave the debugger; the script goes on
  q, quit       end the run
Anything else is Python for the line that the script has stopped at: it is
computed on the device. `!n` is the variable `n`."""

Ask = Callable[..., Record]
"""Asks the debugger: a command and its arguments; returns the body of the answer. Raises `EdgeloopError`."""


class End(Protocol):
    """How the session is ended."""

    def __call__(self, *, detach: bool) -> None:
        """End it, and without `detach` its run."""


def prompt_at(show: Callable[[], None], end: End, thread: int, ask: Ask, after_evaluation: Callable[[], None]) -> None:
    """Take commands from the terminal until the script goes on or the session ends.

    `show` tells again where it stands, and `after_evaluation` prints what an evaluated line has printed.

    Ctrl-C and the end of the input raise `KeyboardInterrupt`.
    """
    while True:
        try:
            typed = click.prompt("(edgeloop)", prompt_suffix=" ", default="", show_default=False, err=True).strip()
        except click.Abort:  # click's name for Ctrl-C and for the end of the input alike
            raise KeyboardInterrupt from None
        name = next((one for one in _NAMES if typed in (one, one[0])), None)
        try:
            if name in _STEPS:
                ask(_STEPS[name], threadId=thread)
                return
            if name in ("quit", "detach"):
                end(detach=name == "detach")
                return
            if name == "where":
                show()
            elif name == "help":
                click.echo(_HELP, err=True)
            elif typed:
                _evaluate(typed.removeprefix("!"), thread, ask)
                after_evaluation()
        except EdgeloopError as error:
            # Of an exception in what was typed, debugpy sends the whole traceback: its last line says what is wrong.
            click.echo(clean(error.message.strip().rpartition("\n")[2]), err=True)


def _evaluate(text: str, thread: int, ask: Ask) -> None:
    frames = ask("stackTrace", threadId=thread, startFrame=0, levels=1)["stackFrames"]
    answer = ask("evaluate", expression=text, frameId=frames[0]["id"], context="repl") if frames else {"result": ""}
    if answer["result"]:
        click.echo(clean_lines(str(answer["result"])), err=True)
