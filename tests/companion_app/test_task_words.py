"""What is said of tasks, and how their output is laid out: without drawing any of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgeloop_companion.store.log_tail import ShownLine
from edgeloop_companion.store.settings import Language
from edgeloop_companion.store.task import Failure, Pause, Phase, Result, Task
from edgeloop_companion.ui import quantities, task_words
from edgeloop_companion.ui.log_rows import LogRow, LogRows
from edgeloop_companion.ui.texts import Words
from edgeloop_shared.progress import ProgressReported
from edgeloop_shared.run_events import TaskWaiting

ENGLISH, CHINESE = Words(Language.ENGLISH), Words(Language.CHINESE)
TASK = Task("d1", "r1", "studio", "digits", "task.py", "--fast", Phase.RUNNING, 1000.0, started_at=1002.0)


@pytest.mark.parametrize(
    ("changes", "english", "chinese"),
    [
        ({}, "running", "运行中"),
        ({"phase": Phase.PREPARING}, "preparing", "准备中"),
        (
            {"phase": Phase.PREPARING, "transfer": (500, 1_500_000)},
            "receiving 500 B of 1.5 MB",
            "正在接收 500 B / 1.5 MB",
        ),
        ({"phase": Phase.WAITING, "queue": TaskWaiting(1)}, "waiting behind 1 other", "前面还有 1 个任务"),
        ({"phase": Phase.WAITING, "queue": TaskWaiting(3, 2, 8, 4)}, "waiting behind 3 others", "前面还有 3 个任务"),
        (
            {"phase": Phase.WAITING, "queue": TaskWaiting(0, 0, 1, 1)},
            "next in line, 1 task runs",
            "下一个，正在运行 1 个任务",
        ),
        ({"phase": Phase.PAUSED, "pause": Pause("conv_1")}, "paused at the operator conv_1", "暂停于算子 conv_1"),
        ({"phase": Phase.PAUSED, "pause": Pause(None, "a.py", 3)}, "paused at a.py, line 3", "暂停于 a.py 第 3 行"),
        ({"phase": Phase.PAUSED, "pause": Pause()}, "paused in a debugger", "已在调试器中暂停"),
        ({"is_stopping": True}, "stopping", "正在停止"),
        ({"phase": Phase.CANCELLED}, "stopped", "已停止"),
        ({"phase": Phase.LOST}, "the app ended while it ran", "应用在运行时被关闭"),
    ],
)
def test_where_a_task_is_in_both_languages(changes: dict[str, object], english: str, chinese: str) -> None:
    task = replace(TASK, **changes)  # type: ignore[arg-type]
    assert (task_words.state(ENGLISH, task), task_words.state(CHINESE, task)) == (english, chinese)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"last_line": "image 3"}, "image 3"),
        ({"phase": Phase.FAILED, "last_line": "image 3", "error": Failure("ValueError: mine")}, "ValueError: mine"),
        ({"phase": Phase.SUCCEEDED, "last_line": "bye", "results": (Result("a", "1"), Result("b", "2"))}, "a 1  b 2"),
        ({"phase": Phase.WAITING, "queue": TaskWaiting(3, 2, 8, 4)}, "2 of them from other computers"),
        ({"phase": Phase.WAITING, "queue": TaskWaiting(0, 0, 8, 1)}, "1 of them from another computer"),
        ({"phase": Phase.WAITING, "queue": TaskWaiting(3)}, ""),
        ({}, ""),
    ],
)
def test_one_line_says_what_is_worth_it(changes: dict[str, object], words: str) -> None:
    task = replace(TASK, **changes)  # type: ignore[arg-type]
    assert task_words.brief(ENGLISH, task) == words
    assert task_words.has_brief(task) is bool(words)


def test_times_are_said_as_people_do() -> None:
    assert [quantities.duration(ENGLISH, seconds) for seconds in (0.4, 59, 60, 3599, 3660, 86_400)] == [
        *("0 s", "59 s", "1 min 0 s", "59 min 59 s", "1 h 1 min", "24 h 0 min")
    ]
    assert task_words.when(ENGLISH, TASK, 1007.5) == "5 s"
    assert task_words.when(ENGLISH, TASK, 900.0) == "0 s"  # the clock was set back
    assert task_words.took(ENGLISH, replace(TASK, phase=Phase.SUCCEEDED, ended_at=1012.0), 5000.0) == "10 s"
    assert [quantities.span(one) for one in (999, 1500, 2_340_000, 1_500_000_000)] == [
        "999 ns",
        "1.5 µs",
        "2.34 ms",
        "1.5 s",
    ]


def test_long_lines_go_on_in_the_next_row() -> None:
    rows = LogRows(10).of([ShownLine(1, "stdout", "0123456789abcdefgh!"), ShownLine(2, "stderr", "short")])
    assert rows == [
        LogRow("0123456789", "stdout"),
        LogRow("  abcdefgh", "stdout"),
        LogRow("  !", "stdout"),
        LogRow("short", "stderr"),
    ]


def test_wide_characters_take_two_columns() -> None:
    rows = LogRows(10).of([ShownLine(1, "stdout", "你好世界再见")])
    assert [row.text for row in rows] == ["你好世界再", "  见"]


def test_lines_come_behind_those_that_are_there_and_go_at_the_front() -> None:
    log = LogRows(10)

    def of(*numbers: int) -> list[str]:
        return [
            row.text for row in log.of([ShownLine(number, "stdout", f"line number {number}") for number in numbers])
        ]

    assert of(1, 2) == ["line numbe", "  r 1", "line numbe", "  r 2"]
    assert of(2, 3) == ["line numbe", "  r 2", "line numbe", "  r 3"]
    assert of(7, 8) == ["line numbe", "  r 7", "line numbe", "  r 8"]  # a flood: lines between were never kept
    assert of() == []
    assert of(9) == ["line numbe", "  r 9"]


@pytest.mark.parametrize(
    ("progress", "fraction", "english", "chinese"),
    [
        (None, None, "running", "运行中"),
        (ProgressReported(3, 10), 0.3, "running, 3 of 10 (30%)", "运行中，3 / 10（30%）"),
        (ProgressReported(0, 0), 1.0, "running, 0 of 0 (100%)", "运行中，0 / 0（100%）"),
        (ProgressReported(0.25, 1), 0.25, "running, 0.25 of 1 (25%)", "运行中，0.25 / 1（25%）"),
        (ProgressReported(60_000, None, "read"), None, "running, 60,000: read", "运行中，60,000：read"),
    ],
)
def test_how_far_a_running_task_is(
    progress: ProgressReported | None, fraction: float | None, english: str, chinese: str
) -> None:
    task = replace(TASK, progress=progress, transfer=(5, 10))
    assert (task_words.state_line(ENGLISH, task), task_words.state_line(CHINESE, task)) == (english, chinese)
    assert task_words.fraction(task) == fraction


def test_what_is_sent_to_a_task_has_a_bar_and_what_has_ended_has_none() -> None:
    task = replace(TASK, progress=ProgressReported(1, 4), transfer=(5, 10))
    assert task_words.fraction(replace(task, phase=Phase.PREPARING)) == 0.5
    assert task_words.fraction(replace(task, phase=Phase.FAILED)) is None
    assert task_words.state_line(ENGLISH, replace(task, phase=Phase.FAILED)) == "failed"
