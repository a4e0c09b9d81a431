"""Rules in Kivy's language, each in a file beside the module of the widgets that it is for."""

from __future__ import annotations

from pathlib import Path

from kivy.lang import Builder


def load_rules(module_file: str) -> None:
    """Load the `.kv` file beside the module whose `__file__` is given; once, when that is imported."""
    Builder.load_file(str(Path(module_file).with_suffix(".kv")))
