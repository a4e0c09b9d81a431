"""Following a debug session in the terminal: the script's output, and where it stops with what is in sight there."""

from __future__ import annotations

import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import click

from edgeloop_daemon.cli.client import Client, Record
from edgeloop_daemon.cli.debug_prompt import prompt_at
from edgeloop_daemon.cli.following import raise_error_of
from edgeloop_daemon.cli.output import clean
from edgeloop_shared.debugger_notes import is_debugger_note
from edgeloop_shared.errors import CancelledByUserError, EdgeloopError, error_from_dict

_POLL_SECONDS = 0.25
_SILENCE_SECONDS = 0.1  # without a line: the script has said nothing
_GATHERING_SECONDS = 0.35  # for which output may gather on its way once some has come
_MAX_GATHERING_SECONDS = 1.0  # of a script that other threads print on and on
_AROUND = 2
_MAX_FRAMES = 5
_MAX_LOCALS = 12
_WIDTH = 79
_MAX_NAME = 30


def follow_session(
    client: Client, session: Record, workspace: Record, *, quiet: bool, was_running: bool = False
) -> Record:
    """Wait until a session ends and return it with its `pauses` and its `run`.

    Ctrl-C ends it and its run; of a run that `was_running` before, only the session.

    In a terminal, whoever sits there says at each pause how to go on, unless an editor is attached.

    Raises the run's error.
    """
    name = session["id"]
    view = _View(client, Path(workspace["path"]), name, quiet=quiet)
    view.say(f"Debug session {name}: {session['script']} as run {session['run']}.")
    try:
        ended = view.follow(workspace["id"])
    except KeyboardInterrupt:
        Client(client.folders).delete(f"/debug/sessions/{name}?detach={str(was_running).lower()}")
        what = (
            "The debug session was ended; its run goes on."
            if was_running
            else "The debug session and its run were ended."
        )
        raise CancelledByUserError(what) from None
    if ended["run"] is None:
        raise error_from_dict(ended["error"]) if ended["error"] else EdgeloopError(ended["message"])
    run = client.get(f"/runs/{ended['run']}")
    if run["state"] in ("failed", "cancelled"):
        raise_error_of(run, log_was_shown=not quiet)
    if ended["error"]:
        raise error_from_dict(ended["error"])
    view.say(ended["message"])
    return {**ended, "pauses": view.pauses}


class _View:
    """What the terminal shows of one session."""

    def __init__(self, client: Client, root: Path, name: str, *, quiet: bool) -> None:
        self._client = client
        self._root = root
        self._name = name
        self._quiet = quiet
        self._log_offset = 0
        self._run = ""
        self._heard_at = 0.0
        self.pauses: list[Record] = []

    def say(self, text: str) -> None:
        if not self._quiet:
            click.echo(clean(text), err=True)

    def follow(self, workspace: str) -> Record:
        cursor: int | None = 0
        while True:
            query: dict[str, Any] = {"kinds": "debug", "workspace": workspace, "since": cursor, "wait": _POLL_SECONDS}
            page = self._client.get("/events", **query)
            cursor = page["next"]
            self._print_log()
            for event in page["items"]:
                if event["data"].get("session") == self._name:
                    self._show(event["kind"], event["data"])
            state = self._client.get(f"/debug/sessions/{self._name}")
            if state["state"] == "ended" and not page["items"]:
                self._print_log()
                return state

    def _show(self, kind: str, data: Record) -> None:
        if kind == "debug.started":
            self._run, self._log_offset = data["run"], 0
        elif kind == "debug.paused":
            self.pauses.append(data)
            if not self._quiet:
                self._print_last_lines()
                self._show_pause(data)
                self._offer(data)
        elif kind == "debug.output":
            self.say(data["text"])
        elif kind == "debug.waiting":
            self.say(
                f"The script waits for an editor: `edgeloop dap --session {self._name}`, see `edgeloop debug --config`."
            )
        elif kind == "debug.link-lost":
            self.say("The link to the device is lost; the session goes on when it is back.")

    def _print_last_lines(self) -> None:
        """Print what the script has said until now: it comes a little later than the word that it has stopped."""
        deadline = time.monotonic() + _MAX_GATHERING_SECONDS
        while (now := time.monotonic()) < deadline:
            if not self._print_log(max(_SILENCE_SECONDS, self._heard_at + _GATHERING_SECONDS - now)):
                return

    def _print_log(self, wait: float = 0) -> bool:
        """Print what is new in the run's log; return whether something is."""
        if not self._run:
            return False
        page = self._client.get(f"/runs/{self._run}/log", offset=self._log_offset, wait=wait)
        self._log_offset = page["next_offset"]
        if page["items"]:
            self._heard_at = time.monotonic()
        if not self._quiet:
            for item in page["items"]:
                if not is_debugger_note(item["source"], item["text"]):
                    click.echo(clean(item["text"]), file=sys.stdout if item["source"] == "stdout" else sys.stderr)
        return bool(page["items"])

    def _offer(self, pause: Record) -> None:
        """Let the user say how to go on, if there is one and no editor does."""
        session = self._client.get(f"/debug/sessions/{self._name}")
        if session["pause"] is None or session["has_editor"]:
            return
        if sys.stdin.isatty():
            if len(self.pauses) == 1:
                self.say("`h` lists what can be typed here; an editor may attach from elsewhere as well.")
            prompt_at(lambda: self._show_pause(pause), self._end, pause["thread"], self._ask, self._print_last_lines)
        elif len(self.pauses) == 1:
            self.say(f"An editor goes on from here (`edgeloop dap --session {self._name}`); Ctrl-C ends the run.")

    def _end(self, *, detach: bool) -> None:
        self._client.delete(f"/debug/sessions/{self._name}?detach={str(detach).lower()}")

    def _show_pause(self, pause: Record) -> None:
        self.say(f"Paused at {pause['file']}:{pause['line']} in {pause['function']} ({pause['reason']})")
        for line in textwrap.wrap(clean(pause["description"]), _WIDTH, initial_indent="  ", subsequent_indent="    "):
            self.say(line)
        for line in self._source(pause):
            self.say(line)
        try:
            self._show_stack(pause["thread"])
        except EdgeloopError:
            self.say("  (it has gone on)")

    def _source(self, pause: Record) -> list[str]:
        """Return the lines around a pause in a file of the workspace."""
        path = self._root / (pause["file"] or "")
        if not pause["line"] or not path.is_file() or not path.resolve().is_relative_to(self._root):
            return []
        lines = path.read_text(errors="replace").splitlines()
        first = max(1, pause["line"] - _AROUND)
        shown = enumerate(lines[first - 1 : pause["line"] + _AROUND], first)
        return [f"{'>' if at == pause['line'] else ' '}{at:5} | {text}"[:_WIDTH] for at, text in shown]

    def _show_stack(self, thread: int) -> None:
        frames = self._ask("stackTrace", threadId=thread, startFrame=0, levels=_MAX_FRAMES)["stackFrames"]
        for frame in frames[1:]:
            path = str((frame.get("source") or {}).get("path", ""))
            self.say(_caller(frame["name"], f"{path.removeprefix(f'{self._root}/')}:{frame['line']}"))
        scopes = self._ask("scopes", frameId=frames[0]["id"])["scopes"] if frames else []
        if scopes:
            found = self._ask("variables", variablesReference=scopes[0]["variablesReference"])["variables"]
            found = [one for one in found if one.get("type") != "module"]  # what the script imports
            for one in found[:_MAX_LOCALS]:
                text = f"  {one['name']} = {' '.join(one['value'].split())}"
                self.say(text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "...")
            if len(found) > _MAX_LOCALS:
                self.say(f"  and {len(found) - _MAX_LOCALS} more")

    def _ask(self, command: str, **arguments: Any) -> Record:
        path = f"/debug/sessions/{self._name}/requests"
        body: Record = self._client.post(path, {"command": command, "arguments": arguments})["body"]
        return body


def _caller(name: str, place: str) -> str:
    """Return the line for a caller. The end of its place, the file's name and the line, stays legible."""
    text = f"  called by {name[:_MAX_NAME]} at "
    room = _WIDTH - len(text)
    return text + (place if len(place) <= room else f"...{place[3 - room :]}")
