"""A debug session: a run on a device, the debugger in it, and the one editor that may be attached.

The daemon is the debugger's client from the run's beginning to its end. An editor comes and goes; without one the session
sets the breakpoints that the workspace keeps, says where it stands, and takes requests through the API.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgeloop_daemon.debugging import followed_run
from edgeloop_daemon.debugging.breakpoints import Verification
from edgeloop_daemon.debugging.configuration import Configuration
from edgeloop_daemon.debugging.dap import Body, Request
from edgeloop_daemon.debugging.debugger import Debugger, OnAnswer
from edgeloop_daemon.debugging.paths import PathMap
from edgeloop_daemon.debugging.ports import EditorPort, Services
from edgeloop_daemon.debugging.records import Session, SessionPlan, State, exit_code
from edgeloop_daemon.debugging.stops import Stops
from edgeloop_daemon.debugging.traffic import Traffic
from edgeloop_daemon.devices.channels import Channel, ChannelState
from edgeloop_daemon.devices.run_table import Run
from edgeloop_daemon.events.kinds import (
    DebugEnded,
    DebugLinkLost,
    DebugRunning,
    DebugStarted,
    DebugWaiting,
    Occurrence,
)
from edgeloop_shared.errors import ConflictError, DebuggerError, EdgeloopError, error_from_dict
from edgeloop_shared.models import RunState

_ENDS = {
    RunState.SUCCEEDED: "The run succeeded.",
    RunState.FAILED: "The run failed.",
    RunState.CANCELLED: "The run was cancelled.",
}
_END_SECONDS = 15.0
_AWAY_SECONDS = 1.0
_log = logging.getLogger(__name__)


class DebugSession:
    """One session, which `begin` begins. It is a `Debuggee` for its interceptors."""

    def __init__(self, name: str, plan: SessionPlan, services: Services) -> None:
        self.id = name
        self.plan = plan
        self.paths = PathMap(plan.workspace.root)
        self.has_ended = asyncio.Event()
        self._services = services
        self._interceptors = tuple(extension.make(self) for extension in services.extensions)
        self._configuration = Configuration(self, services.breakpoints)
        self._stops = Stops(self, self._record)
        self._traffic = Traffic(self, self._interceptors, self._configuration, self._stops, self._record)
        self._debugger: Debugger | None = None
        self._editor: EditorPort | None = None
        self._run: Run | None = None
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._started = asyncio.Event()
        self._is_configured = not plan.wait
        self._has_begun = False
        self._is_restarting = False
        self._is_detached = False
        self._is_linked = True
        self._message = ""
        self._error: EdgeloopError | None = None
        self._created_at = time.time()
        self._ended_at: float | None = None
        self._life: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # What others see

    @property
    def run(self) -> str:
        """The id of its run; another one after a restart."""
        return "" if self._run is None else self._run.id

    @property
    def device(self) -> str:
        """The id of the device."""
        return "" if self._run is None else self._run.device

    @property
    def root(self) -> Path:
        """The folder of the workspace."""
        return self.plan.workspace.root

    @property
    def state(self) -> State:
        """What it does."""
        if self.has_ended.is_set():
            return "ended"
        if not self._ready.done():
            return "starting"
        if not self._is_linked:
            return "link-lost"
        if self._stops.pause is not None:
            return "paused"
        return "running" if self._has_begun else "waiting"

    def record(self) -> Session:
        """Return what the API shows."""
        run = self._run
        return Session(
            id=self.id,
            workspace=self.plan.workspace.id,
            script=self.plan.script if run is None else run.script,
            arguments=self.plan.arguments if run is None else run.arguments,
            run=self.run or None,
            device=self.device or None,
            state=self.state,
            pause=self._stops.pause,
            has_editor=self._editor is not None,
            message=self._message,
            error=None if self._error is None else self._error.as_dict(),
            created_at=self._created_at,
            ended_at=self._ended_at,
        )

    # Life

    def begin(self) -> None:
        """Start the run and the debugger."""
        self._life = asyncio.create_task(self._live(), name=f"debug session {self.id}")

    async def has_run(self) -> None:
        """Return when its run is on the way to the device. Raises why that is not to be."""
        await self._started.wait()
        if self._run is None:
            await self.ready()

    async def ready(self) -> None:
        """Return when the debugger is there and the breakpoints are set. Raises why that is not to be."""
        await asyncio.shield(self._ready)

    async def end(self, *, stop: bool) -> None:
        """End the session, and with `stop` its run; return when it has ended."""
        if stop and self._run is not None:
            self._message = self._message or "It was stopped."
            await self._services.runs.cancel(self.run)
        else:
            self._is_detached = True
            self._message = self._message or "It was detached; the run goes on."
            if self._life is not None:
                self._life.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                await self.has_ended.wait()
        if self._life is not None and not self.has_ended.is_set():
            self._life.cancel()
            await asyncio.gather(self._life, return_exceptions=True)

    async def restart(self) -> None:
        """End the run and start it anew with the same breakpoints; return when the new one is under the debugger.

        Raises `ConflictError` for a session that was attached to a run, and what starting raises.
        """
        if self.plan.script is None or self.has_ended.is_set():
            raise ConflictError("This session cannot be restarted.", hint="Start the task again.")
        self._is_restarting = True
        if self._ready.done():
            self._ready = asyncio.get_running_loop().create_future()
        await self._services.runs.cancel(self.run)
        await self.ready()

    async def _live(self) -> None:
        try:
            while True:
                self._is_restarting = False
                run = await self._debug_run()
                if not self._is_restarting:
                    break
            await self._finish(run, None)
        except EdgeloopError as error:
            await self._finish(None, error)
        except asyncio.CancelledError:
            self._message = self._message or "The daemon stopped; the run goes on."
            await self._finish(None, None)
        except Exception as error:
            _log.exception("debug session %s failed", self.id)
            await self._finish(None, DebuggerError(f"The session failed: {error!r}."))

    async def _debug_run(self) -> Run:
        """Debug one run to its end and return it."""
        runs, plan = self._services.runs, self.plan
        self._run = run = await (runs.start(plan) if plan.run is None else runs.get(plan.run))
        self._started.set()
        self._record(DebugStarted(self.id, run.id, run.device, run.script))
        ending = asyncio.create_task(followed_run.ended(runs, run.id))
        following = asyncio.create_task(followed_run.tell_output(runs, run.id, self.tell))
        debugging = asyncio.create_task(self._debug(run.id))
        try:
            await asyncio.wait({ending, debugging}, return_when=asyncio.FIRST_COMPLETED)
            # They end together, the debugger a little earlier or later; of a device that is away nothing more will come.
            await asyncio.wait({ending, debugging}, timeout=_END_SECONDS if self._is_linked else _AWAY_SECONDS)
            if not ending.done():
                debugging.result()
                raise DebuggerError(
                    "The debugger on the device has gone, and the run goes on without it.",
                    hint=f"`edgeloop logs -f {run.id}` follows the run.",
                )
            await asyncio.wait({following}, timeout=_END_SECONDS)
            return ending.result()
        finally:
            tasks = (ending, following, debugging)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _debug(self, run_id: str) -> None:
        """Be the client of a run's debugger until it is gone."""
        lost_seconds = self.plan.workspace.debug_lost_seconds
        async with self._services.channels.open(run_id, lost_seconds=lost_seconds) as channel:
            self._debugger = debugger = Debugger(channel, self._traffic.heard)
            self._has_begun = False
            serving = asyncio.create_task(debugger.serve())
            introducing = asyncio.create_task(self._introduce())
            watching = asyncio.create_task(self._watch_link(channel))
            tasks = (serving, introducing, watching)
            try:
                await asyncio.wait({serving, introducing}, return_when=asyncio.FIRST_COMPLETED)
                if introducing.done():
                    introducing.result()
                await serving
            finally:
                self._debugger = None
                self._stops.forget()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch_link(self, channel: Channel) -> None:
        state = channel.state
        while state is not ChannelState.ENDED:
            self._link_changed(is_linked=state is ChannelState.OPEN)
            state = await channel.changed(state)

    async def _introduce(self) -> None:
        """Set the debugger up, and let the script begin unless it is to wait for an editor."""
        await self._configuration.introduce(self.plan)
        for interceptor in self._interceptors:
            await interceptor.begin()
        await self._configuration.set_all()
        if not self._ready.done():
            self._ready.set_result(None)
        if self._is_configured:
            self._let_begin()
        else:
            self._record(DebugWaiting(self.id))

    def _let_begin(self) -> None:
        if not self._has_begun and self._debugger is not None:
            self._has_begun = True
            self.ask("configurationDone", {}, lambda _: None)
            self._record(DebugRunning(self.id))

    async def _finish(self, run: Run | None, error: EdgeloopError | None) -> None:
        if run is not None and run.error is not None:
            error = error_from_dict(run.error)
        if run is not None:
            self._message = self._message or _ENDS.get(run.state, "The run goes on.")
        self._error = error
        self._message = str(error) if error is not None else self._message
        self._ended_at = time.time()
        if not self._ready.done():
            hint = "`edgeloop runs` lists the runs that are at work."
            self._ready.set_exception(error or ConflictError(f"There is nothing to debug. {self._message}", hint=hint))
            self._ready.exception()  # it is for whoever waits; nobody may
        self.has_ended.set()
        self._started.set()
        self._record(DebugEnded(self.id, self._message[:500], None if error is None else error.code))
        if error is not None:
            self.tell("output", {"category": "important", "output": f"edgeloop: {error}\n"})
        if run is not None:
            self.tell("exited", {"exitCode": exit_code(run.state)})
        self.tell("terminated", {})
        for task in tuple(self._tasks):
            task.cancel()

    def breakpoints_changed(self) -> None:
        """The workspace's breakpoints have changed: set them, as soon as the debugger is there."""
        if not self.has_ended.is_set():
            self.spawn(self._configuration.set_kept())

    # The editor

    async def attach(self, editor: EditorPort, *, just_my_code: bool, folder: str | None) -> None:
        """Let an editor attach once the debugger is there. Raises `ConflictError` when there is another, and why it is not."""
        if self._editor is not None and self._editor is not editor:
            raise ConflictError(
                f"An editor is attached to debug session {self.id} already.", hint="Disconnect it there first."
            )
        self._editor = editor
        try:
            await self.ready()
            if folder is not None:
                await asyncio.to_thread(self.paths.spell, folder)
            await self._configuration.adopt(just_my_code=just_my_code)
        except BaseException:
            self._editor = None
            raise

    def configured(self) -> None:
        """The editor has set its breakpoints: the script may begin."""
        self._is_configured = True
        self._let_begin()
        self._stops.repeat()

    def detach(self, editor: EditorPort, *, stay_paused: bool = False) -> None:
        """The editor has gone: what it has set is forgotten, and the run goes on, unless it is to `stay_paused`."""
        if self._editor is not editor:
            return
        self._editor = None
        if self._debugger is None:
            return
        for interceptor in self._interceptors:
            interceptor.editor_left()

        def go_on() -> None:
            # Now, and not at once: until the editor's breakpoints are gone, the run may stop at one again.
            pause = self._stops.pause
            if not stay_paused and pause is not None:
                self._stops.continued()  # the next editor is not told of a stop that is over
                self.ask("continue", {"threadId": pause.thread}, lambda _: None)

        self._configuration.forget_edited(go_on)

    async def set_breakpoints(self, arguments: Body) -> Body:
        """Set the editor's breakpoints of a file. Raises `EdgeloopError`."""
        return await self._configuration.set_breakpoints(arguments)

    async def set_exception_filters(self, arguments: Body) -> Body:
        """Set the editor's exception breakpoints. Raises `EdgeloopError`."""
        return await self._configuration.set_exception_filters(arguments)

    def pass_on(self, request: Request, on_answer: OnAnswer) -> None:
        """Have a request answered by an interceptor or the debugger."""
        self._traffic.pass_on(request, on_answer)

    # For interceptors and the parts of a session

    def ask(self, command: str, arguments: Body, on_answer: OnAnswer) -> None:
        """Ask the debugger; `on_answer` is called in the order of its messages."""
        if self._debugger is None:
            message = (
                f"The debug session has ended: {self._message}" if self.has_ended.is_set() else "It has not begun."
            )
            on_answer(Request(0, command, arguments).failed(message))
            return
        self._debugger.ask(command, arguments, on_answer)

    async def request(self, command: str, arguments: Mapping[str, Any] | None = None) -> Body:
        """Return the body of the debugger's answer. Raises `DebuggerError`."""
        if self._debugger is None:
            raise DebuggerError("The debugger is not there.")
        return await self._debugger.request(command, arguments)

    def tell(self, event: str, body: Body) -> None:
        """Send an event to the editor, if there is one."""
        if self._editor is not None:
            self._editor.tell(event, body)

    def spawn(self, work: Awaitable[None]) -> None:
        """Do work as long as the session lives."""

        async def do() -> None:
            with suppress(DebuggerError):  # it has gone meanwhile
                await work

        task = asyncio.create_task(do())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def verified(self, found: Mapping[str, Verification]) -> None:
        """Keep what has become of the workspace's breakpoints."""
        if found:
            self.spawn(self._services.breakpoints.verified(dict(found)))

    def _record(self, occurrence: Occurrence) -> None:
        self._services.record(occurrence, self.plan.workspace.id)

    def _link_changed(self, *, is_linked: bool) -> None:
        if is_linked == self._is_linked or self.has_ended.is_set():
            return
        self._is_linked = is_linked
        if is_linked:
            text = "The device is back, and the debug session goes on."
            self._record(DebugRunning(self.id))
            self._stops.tell_again()
        else:
            text = (
                "The link to the device is lost. The session goes on when it is back, and ends when it stays away for"
                f" {self.plan.workspace.debug_lost_seconds:g} s."
            )
            self._record(DebugLinkLost(self.id))
        self.tell("output", {"category": "important", "output": f"edgeloop: {text}\n"})
