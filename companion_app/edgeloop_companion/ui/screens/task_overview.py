"""What a task has found, what went wrong with it, and whose it is."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

from kivy.app import App
from kivy.core.image import Image as CoreImage
from kivy.graphics import Color, Line
from kivy.metrics import dp
from kivy.properties import ListProperty, NumericProperty, ObjectProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.scrollview import ScrollView
from kivy.uix.widget import Widget
from kivy.utils import rgba

from edgeloop_companion.store.images import SafeImage
from edgeloop_companion.store.task import Metric, Phase, Task, TaskDetail, TaskFile
from edgeloop_companion.ui import task_words
from edgeloop_companion.ui.error_texts import explanation, headline
from edgeloop_companion.ui.quantities import byte_count, moment
from edgeloop_companion.ui.rules import load_rules
from edgeloop_companion.ui.texts import Words
from edgeloop_companion.ui.widgets.banner import Banner
from edgeloop_companion.ui.widgets.card import Section
from edgeloop_companion.ui.widgets.rows import FactRow
from edgeloop_shared.errors import EdgeloopError, NotFoundError
from edgeloop_shared.progress import ProgressReported, progress_fraction

load_rules(__file__)

SHARP_PIXELS = 128
LoadImage = Callable[[TaskFile], Awaitable[SafeImage]]
Begin = Callable[[Coroutine[Any, Any, None]], None]
_Row = tuple[str, type[Any], dict[str, Any]]
"""What a row is called, and what shows it with which values."""


class Curve(Widget):
    """The last values of a metric as a line."""

    points = ListProperty()
    colour = StringProperty("#000000")

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.bind(pos=self._draw, size=self._draw, points=self._draw, colour=self._draw)

    def _draw(self, *_: Any) -> None:
        self.canvas.clear()
        if len(self.points) < 2:
            return
        low, high = min(self.points), max(self.points)
        unit = self.height / (high - low) if high > low else 0.0
        step = self.width / (len(self.points) - 1)
        line = [
            value
            for index, point in enumerate(self.points)
            for value in (self.x + index * step, self.y + ((point - low) * unit if unit else self.height / 2))
        ]
        with self.canvas:
            Color(*rgba(self.colour))
            Line(points=line, width=dp(1))


class MetricRow(BoxLayout):
    """A metric: its name, its last value and how it came there."""

    name = StringProperty()
    value = StringProperty()
    points = ListProperty()


class ProgressRow(BoxLayout):
    """How far a script is: words, and a bar (of `fraction`) where there is a total."""

    text = StringProperty()
    fraction = NumericProperty(None, allownone=True)


class ErrorText(BoxLayout):
    """The lines of a traceback."""

    text = StringProperty()


class TaskImage(BoxLayout):
    """An image that a script shows, as wide as there is room, or why it cannot be seen."""

    name = StringProperty()
    problem = StringProperty()
    texture = ObjectProperty(None, allownone=True)

    async def load(self, file: TaskFile, load: LoadImage, words: Words) -> None:
        """Read and draw it."""
        try:
            image = await load(file)
            drawn = await asyncio.to_thread(lambda: CoreImage(io.BytesIO(image.data), ext=image.format))
            if image.width <= SHARP_PIXELS:
                # What is enlarged much shows its pixels, as who looks at a model's input wants.
                drawn.texture.mag_filter = "nearest"
            self.texture = drawn.texture
        except NotFoundError:
            self.problem = words("task.image.gone")
        except EdgeloopError as error:
            self.problem = (
                f"{headline(words, error.code, str(error))}\n{explanation(words, error.code, str(error))}".strip()
            )
        except Exception:  # of the decoder of the platform, which says nothing that helps a person
            self.problem = words("task.image.unreadable")


class TaskOverview(ScrollView):
    """The panel. What stays where it is keeps its widgets; only values are set anew."""

    def __init__(self, load_image: LoadImage, begin: Begin) -> None:
        self._load_image = load_image
        self._begin = begin
        self._layout: tuple[tuple[str, str], ...] = ()
        self._words: Words | None = None
        self._rows: dict[tuple[str, str], Any] = {}
        super().__init__()

    def show(self, detail: TaskDetail) -> None:
        """Show a task."""
        words = App.get_running_app().words
        sections = [(heading, list(rows)) for heading, rows in self._sections(detail.task, words)]
        layout = tuple((heading, name) for heading, rows in sections for name, _, _ in rows)
        if layout != self._layout or words is not self._words:
            if any(not heading and (heading, name) not in self._layout for heading, name in layout):
                self.scroll_y = 1  # what there is to say stands above all
            self._layout, self._words = layout, words
            self._build(sections, words)
        for heading, rows in sections:
            for name, _, values in rows:
                row = self._rows[heading, name]
                for key, value in values.items():
                    setattr(row, key, value)

    def _build(self, sections: list[tuple[str, list[_Row]]], words: Words) -> None:
        self.ids.column.clear_widgets()
        earlier, self._rows = self._rows, {}
        for heading, rows in sections:
            parent = self.ids.column
            if heading:
                parent = Section(heading=words(heading))
                self.ids.column.add_widget(parent)
            for name, kind, values in rows:
                row = earlier.get((heading, name)) if kind is TaskImage else None
                row = row or kind()
                if row.parent is not None:
                    row.parent.remove_widget(row)
                parent.add_widget(row)
                self._rows[heading, name] = row
                if kind is TaskImage and (heading, name) not in earlier:
                    self._begin(row.load(values["file"], self._load_image, words))

    def _sections(self, task: Task, words: Words) -> Iterator[tuple[str, Iterator[_Row]]]:
        yield "", self._banners(task, words)
        if task.error is not None and task.error.trace:
            yield "task.traceback", iter([("trace", ErrorText, {"text": task.error.trace})])
        if task.progress is not None:
            yield "task.progress.heading", iter([self._progress(task.progress, words)])
        if task.results:
            yield "task.results", (self._fact(result.name, result.value) for result in task.results)
        if task.metrics:
            yield "task.metrics", (self._metric(metric, words) for metric in task.metrics)
        if images := [file for file in task.files if file.is_image]:
            yield "task.images", ((f.name + f.sha256, TaskImage, {"name": f.name, "file": f}) for f in images)
        if files := [file for file in task.files if not file.is_image]:
            yield "task.files", (self._fact(file.name, byte_count(file.size)) for file in files)
        yield "task.facts", self._facts(task, words)

    def _banners(self, task: Task, words: Words) -> Iterator[_Row]:
        if task.error is not None:
            kind = "info" if task.phase is Phase.CANCELLED else "error"
            error = {"code": task.error.code, "message": task.error.message, "hint": task.error.hint}
            yield "error", Banner, {"kind": kind, **error}
        if task.phase is Phase.PAUSED:
            values = {"kind": "warning", "message": task_words.state(words, task), "hint": words("task.paused.hint")}
            yield "paused", Banner, values
        if task.is_taken_over:
            yield "taken over", Banner, {"kind": "info", "message": words("task.taken_over")}

    def _progress(self, progress: ProgressReported, words: Words) -> _Row:
        values = {
            "text": task_words.progress(words, progress),
            "fraction": progress_fraction(progress.done, progress.total),
        }
        return "progress", ProgressRow, values

    def _metric(self, metric: Metric, words: Words) -> _Row:
        name = metric.name
        if metric.step is not None:
            name = words("task.metric.step", name=metric.name, step=metric.step)
        return metric.name, MetricRow, {"name": name, "value": task_words.figure(metric), "points": list(metric.points)}

    def _facts(self, task: Task, words: Words) -> Iterator[_Row]:
        now = time.time()
        facts = (
            ("task.fact.computer", task.computer),
            ("task.fact.workspace", task.workspace),
            ("task.fact.arguments", task.arguments),
            ("task.fact.begun", moment(task.started_at or task.taken_at, now)),
            ("task.fact.ended", moment(task.ended_at, now) if task.ended_at else ""),
            ("task.fact.took", task_words.took(words, task, now) if task.phase.is_over else ""),
            ("task.fact.id", task.run_id),
        )
        return (self._fact(words(name), value) for name, value in facts if value)

    def _fact(self, name: str, value: str) -> _Row:
        return name, FactRow, {"name": name, "value": value}
