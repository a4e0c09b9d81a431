"""The screens *Tasks* and *Task*, by touches."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from companion_app.companion_fixtures import pairing_with
from companion_app.link_peer import LinkPeer
from PIL import Image, ImageColor

from edgeloop_companion.runtime.observing import OnSeen, ScriptPaused, ScriptResumed
from edgeloop_companion.store.settings import Appearance, Language
from edgeloop_companion.store.tasks import TaskList
from edgeloop_companion.ui.fonts import Fonts
from edgeloop_companion.ui.log_rows import LogRow
from edgeloop_shared.models import RunState
from edgeloop_shared.run_events import TaskWaiting, TransferProgress

from .shown_app import IS_LOOKED_AT, ShownApp, shown_app
from .shown_tasks import ended, lines, many, started, take
from .test_screenshots import SIZES


@pytest.mark.parametrize("size", SIZES if IS_LOOKED_AT else ["phone"])
async def test_every_part_is_drawn_in_both_themes_and_both_languages(
    kivy_home: Path, tmp_path: Path, size: str
) -> None:
    width, height = SIZES[size]
    density = 1.0 if size == "desktop" or not IS_LOOKED_AT else 3.0
    async with shown_app(kivy_home, tmp_path / "state", width=width, height=height, density=density) as phone:
        tasks = phone.parts.tasks
        many(tmp_path, tasks)
        await phone.goes("tasks")
        await phone.sees("classify.py")
        looks = [(language, appearance) for language in Language for appearance in Appearance]

        async def look(name: str) -> None:
            for language, appearance in looks if IS_LOOKED_AT else looks[:1]:
                phone.parts.settings.change(language=language, appearance=appearance)
                await phone.sees(phone.app.words("tasks.title"))
                await phone.screenshot(f"{size}-{name}-{language}-{appearance}")
            phone.parts.settings.change(language=Language.ENGLISH, appearance=Appearance.LIGHT)
            await phone.drawn()

        await look("tasks-many")
        await phone.tap("classify.py")
        await phone.sees("Accuracy".lower())
        await look("task-overview")
        await phone.tap("Output")
        await phone.sees("image 14: 2 (0.91)")
        await look("task-output")
        await phone.tap("Operators")
        await phone.sees("ConvolutionDepthwise")
        await look("task-operators")


async def test_a_task_that_a_computer_runs_is_shown_and_stopped(kivy_home: Path, tmp_path: Path, models: Path) -> None:
    script = f"""
import edgeloop_task, pathlib, sys, time
model = edgeloop_task.load_model({str(models / "planted.mnn")!r})
with edgeloop_task.trace():
    model([[0.5, 1.0, 1.5], [2.0, -1.0, 3.0]])
edgeloop_task.report_metric("loss", 0.25, step=3)
edgeloop_task.report_result(accuracy=0.75)
edgeloop_task.report_image([[0.0, 1.0], [0.5, 0.2]], "seven.png")
print("[b]ready[/b]", flush=True)
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.01)
for number in range(300):
    print("line", number)
time.sleep(600)
"""
    async with LinkPeer(host_name="studio").serving() as peer, shown_app(kivy_home, tmp_path / "state") as phone:
        phone.parts.companion.serve(pairing_with(peer))
        await peer.linked()
        await phone.goes("tasks")
        await phone.sees("No task yet")
        command = replace(peer.command({"task.py": script}, str(tmp_path / "go")), workspace_name="digits")
        await peer.send(command)
        await phone.sees("[b]ready[/b]")  # nothing that a script prints is markup
        assert phone.shows("digits on studio")
        await phone.tap("task.py")
        await phone.sees("accuracy")
        assert phone.shows("0.75")
        assert phone.shows("loss, step 3")
        image = (await phone.reaches("seven.png")).parent
        await phone.until(lambda: image.texture is not None, "the image is not drawn")
        assert (image.texture.width, image.texture.height) == (2, 2)
        await phone.tap("Operators")
        await phone.sees("root")
        await phone.tap("Output")
        await phone.sees("[b]ready[/b]")
        (tmp_path / "go").touch()
        await phone.sees("line 299")
        assert not phone.shows("line 0")
        for _ in range(8):
            await phone.turn("scrolldown")
        await phone.sees("Show the newest lines")
        assert not phone.shows("line 299")
        await phone.tap("Show the newest lines")
        await phone.sees("line 299")
        await phone.tap("Stop")
        await phone.sees("Stop task.py?")
        await phone.screenshot("task-stop-question")
        await phone.tap("Cancel")
        await phone.misses("Stop task.py?")
        assert phone.shows("running")
        await phone.tap("Stop")
        await phone.sees("Stop task.py?")
        await phone.tap("Stop")
        await phone.sees("stopped")
        run = peer.runs[command.run_id]
        await peer.until(lambda: run.is_complete)
        assert run.finished is not None
        assert run.finished.error is not None
        assert run.finished.error["message"] == "The run was stopped on the device, by its user."
        await phone.tap("Overview")
        await phone.sees("The run was stopped on the device, by its user.")


async def test_where_a_task_stands_and_what_it_waits_for_is_seen_as_it_changes(phone: ShownApp) -> None:
    await phone.goes("tasks")
    see = take(phone.parts.tasks, "task.py")
    await phone.sees("preparing")
    see([TransferProgress(2_500_000, 10_000_000)])
    await phone.sees("receiving 2.5 MB of 10.0 MB")
    see([TaskWaiting(3, 2, 8, 5)])
    await phone.sees("waiting behind 3 others")
    assert phone.shows("2 of them from other computers")
    see([TaskWaiting(0, 0, 8, 1)])
    await phone.sees("next in line, 8 tasks run")
    assert phone.shows("1 of them from another computer")
    see([*started(), ScriptPaused("helper.py", 3)])
    await phone.sees("paused at helper.py, line 3")
    await phone.tap("task.py")
    await phone.sees("edgeloop break continue")
    see([ScriptResumed()])
    await phone.sees("running")
    await phone.misses("edgeloop break continue")
    error: dict[str, object] = {
        "code": "task-failed",
        "message": "ValueError: mine",
        "hint": "Look at line 3.",
        "details": {"traceback": "a\n  b"},
    }
    see(ended(RunState.FAILED, error))
    await phone.sees("ValueError: mine")
    assert phone.shows("Look at line 3.")
    assert phone.shows("a\n  b")
    assert not phone.shows("Stop")


async def test_how_far_a_script_is_is_seen_in_the_list_and_on_its_page(kivy_home: Path, tmp_path: Path) -> None:
    script = """
import edgeloop_task, pathlib, sys, time
for number in range(100_001):
    edgeloop_task.report_progress(number, 400_000, "[b]resizing[/b]")
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.01)
edgeloop_task.report_progress(400_000, 400_000, "done")
sys.exit("no more")
"""
    async with LinkPeer().serving() as peer, shown_app(kivy_home, tmp_path / "state") as phone:
        phone.parts.companion.serve(pairing_with(peer))
        await peer.linked()
        await phone.goes("tasks")
        await peer.send(peer.command({"task.py": script}, str(tmp_path / "go")))
        await phone.sees("running, 100,000 of 400,000 (25%): [b]resizing[/b]")
        assert [bar.value for bar in bars(phone)] == [0.25]
        await phone.tap("task.py")
        await phone.sees("100,000 of 400,000 (25%): [b]resizing[/b]")
        assert phone.shows("Progress")
        assert [bar.value for bar in bars(phone)] == [0.25]
        await phone.screenshot("task-progress")
        (tmp_path / "go").touch()
        await phone.sees("400,000 of 400,000 (100%): done")
        await phone.sees("failed")
        assert [bar.value for bar in bars(phone)] == [1.0]


def bars(phone: ShownApp) -> list[Any]:
    """Return the bars that are seen."""
    from edgeloop_companion.ui.widgets.status import Progress

    return [one for one in phone.app.root.walk() if isinstance(one, Progress) and one.height and one.get_root_window()]


async def test_what_has_ended_is_cleared_and_what_is_at_work_stays(phone: ShownApp, tmp_path: Path) -> None:
    many(tmp_path, phone.parts.tasks)
    await phone.goes("tasks")
    await phone.sees("bench.py")
    await phone.tap("Clear")
    await phone.sees("Clear the list?")
    await phone.tap("Clear")
    await phone.misses("bench.py")
    assert phone.shows("classify.py")


async def test_a_list_that_becomes_shorter_may_change_again_before_it_is_drawn(phone: ShownApp) -> None:
    tasks = phone.parts.tasks
    for number in range(4):
        take(tasks, f"task{number}.py", run=f"r{number}")(started())
    await phone.goes("tasks")
    await phone.sees("task3.py")
    before = tasks.list.value
    tasks.list.set(TaskList(before.at_work[:1]))
    tasks.list.set(TaskList((replace(before.at_work[0], workspace="speech"),)))
    await phone.sees("speech on studio")
    await phone.misses("task0.py")


async def test_rows_of_output_are_rendered_once_and_of_a_flood_only_a_few_for_each_frame(
    phone: ShownApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kivy.clock import Clock

    from edgeloop_companion.ui.widgets import log_view

    rendered: list[str] = []
    frames: Counter[int] = Counter()
    render = log_view._rendered

    def watched(row: LogRow, fonts: Fonts, font_size: float) -> object:
        rendered.append(row.text)
        frames[Clock.frames] += 1
        return render(row, fonts, font_size)

    monkeypatch.setattr(log_view, "_rendered", watched)
    see = await shown_output(phone)
    see(lines(*(f"line {number}" for number in range(100)), ""))
    await phone.sees("line 99")
    await phone.drawn()  # which takes some frames, and so the page is full
    rendered.clear()
    see(lines("new 1", "", "new 2"))
    await phone.sees("new 2")
    await phone.drawn()
    assert sorted(rendered) == ["new 1", "new 2"]
    for number in range(20):
        see(lines(*(f"flood {number}.{one}" for one in range(500))))
        await phone.frame()
    await phone.sees("flood 19.499")
    assert max(frames.values()) == log_view.ROWS_A_FRAME
    assert len(rendered) < 1000  # of 10,000


async def test_a_finger_scrolls_the_output_which_stays_there_until_it_is_back_at_the_end(phone: ShownApp) -> None:
    see = await shown_output(phone)
    see(lines(*(f"line {number}." for number in range(100))))
    view = await phone.sees("line 99.")
    await phone.drag(view, -300)
    await phone.sees("Show the newest lines")
    await phone.until(lambda: phone.shows("line 80."), "the page is never filled")
    assert not phone.shows("line 99.")
    see(lines(*(f"line {number}." for number in range(100, 900))))
    await phone.until(lambda: phone.parts.tasks.list.value.at_work[0].last_line == "line 899.", "nothing comes")
    await phone.drawn()
    assert phone.shows("line 80.")
    for _ in range(3):
        await phone.drag(view, 400)
    await phone.sees("line 899.")
    await phone.misses("Show the newest lines")


async def test_what_went_wrong_has_its_colour_in_both_themes(phone: ShownApp) -> None:
    see = await shown_output(phone)
    see(lines("an error: " + "\u2588" * 20, source="stderr"))
    await phone.sees("an error")
    for appearance in Appearance:
        phone.parts.settings.change(appearance=appearance)
        await phone.drawn()
        with Image.open(await phone.screenshot(f"error-{appearance}")) as image:
            counted = image.convert("RGB").getcolors(maxcolors=image.width * image.height) or []
        pixels = {colour: count for count, colour in counted}
        assert pixels[ImageColor.getrgb(phone.app.palette.error)] > 20 * 8 * 8  # the blocks are drawn, not left blank


async def shown_output(phone: ShownApp) -> OnSeen:
    """Show the output of a running task; return what is to be told of it."""
    await phone.goes("tasks")
    see = take(phone.parts.tasks, "task.py")
    see(started())
    await phone.tap("task.py")
    await phone.tap("Output")
    return see
