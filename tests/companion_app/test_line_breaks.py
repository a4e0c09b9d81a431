"""Where lines end. Here a Far Eastern character is two wide, and any other one."""

from __future__ import annotations

import unicodedata

import pytest

from edgeloop_companion.ui.line_breaks import NEVER_FIRST, NEVER_LAST, break_lines, needs_breaks
from edgeloop_companion.ui.texts import TEXTS


def measure(text: str) -> float:
    return sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("很短。", ["很短。"]),
        ("电脑没有响应。", ["电脑没有响", "应。"]),  # not the full stop alone
        ("电脑没有响（应）", ["电脑没有响", "（应）"]),
        ("以 mDNS 来广播", ["以 mDNS 来广", "播"]),  # the line goes on after a Latin word
        ("请用 `edgeloop`，好", ["请用", "`edgeloop`，", "好"]),
        ("一 two threes", ["一 two", "threes"]),
        ("看 abcdefghijklmnopqrstuvw", ["看", "abcdefghijkl", "mnopqrstuvw"]),
        ("第一行\n\n二", ["第一行", "", "二"]),
        ("my-laptop-in-the-hall", ["my-laptop-", "in-the-hall"]),
        ("at https://10.0.0.4:443/v1", ["at", "https://10.", "0.0.4:443/v1"]),
        ("a b-c-d", ["a b-c-d"]),
        ("well-known-fact of life", ["well-known-", "fact of life"]),
    ],
)
def test_lines_end_where_chinese_may_end(text: str, lines: list[str]) -> None:
    assert break_lines(text, 12, measure).split("\n") == lines


def test_kivy_is_left_alone_with_words_that_fit() -> None:
    assert not needs_breaks("a name that has many short words", 12, measure)
    assert not needs_breaks("", 12, measure)
    assert needs_breaks("a-rather-long-name", 12, measure)
    assert needs_breaks("电脑", 12, measure)


def test_what_is_wider_than_a_line_stands_alone() -> None:
    assert break_lines("电脑", 1, measure).split("\n") == ["电", "脑"]


def test_no_text_of_this_app_has_a_line_that_begins_or_ends_as_none_may() -> None:
    for key, (_, text) in TEXTS.items():
        for width in range(24, 64):
            lines = break_lines(text, width, measure).split("\n")
            assert "".join(lines).replace(" ", "") == text.replace(" ", "")
            assert all(measure(line) <= width for line in lines), key
            assert not any(line[0] in NEVER_FIRST for line in lines[1:]), (key, lines)
            assert not any(line[-1] in NEVER_LAST for line in lines[:-1]), (key, lines)
