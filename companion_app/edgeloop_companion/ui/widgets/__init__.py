"""The parts that screens are built from. Each is at least 48 dp high where a finger presses it.

Rules name widgets by their classes, which Kivy knows once they are imported: whoever imports one module has them all.
"""

from edgeloop_companion.ui.widgets import (
    banner,
    camera_view,
    card,
    icon,
    link_button,
    page,
    pressable,
    rows,
    sheet,
    status,
    text,
    text_button,
    text_field,
)

__all__ = [
    "banner",
    "camera_view",
    "card",
    "icon",
    "link_button",
    "page",
    "pressable",
    "rows",
    "sheet",
    "status",
    "text",
    "text_button",
    "text_field",
]
