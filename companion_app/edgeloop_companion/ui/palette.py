"""The colours of the screens, light and dark.

Text and signs have at least the contrast that WCAG 2.2 asks for at level AA (4.5:1 for text, 3:1 for borders of controls).
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeloop_companion.store.settings import Appearance

Colour = str
"""`#RRGGBB`."""


@dataclass(frozen=True)
class Palette:
    """What each colour is for; the names of what is drawn upon another begin with `on_`."""

    background: Colour
    surface: Colour
    """Cards, bars and sheets."""
    pressed: Colour
    """A surface under a finger."""
    text: Colour
    muted: Colour
    """Text that is read second."""
    line: Colour
    """Between rows: no information lies in it."""
    border: Colour
    """Around a control that is known by it."""
    primary: Colour
    on_primary: Colour
    primary_surface: Colour
    """Behind what is chosen or proposed."""
    on_primary_surface: Colour
    good: Colour
    warning: Colour
    error: Colour
    on_error: Colour
    error_surface: Colour
    on_error_surface: Colour
    warning_surface: Colour
    on_warning_surface: Colour
    code: Colour
    """Behind logs and figures."""
    scrim: Colour
    """Over a screen that waits for an answer, half transparent."""


LIGHT = Palette(
    background="#F4F5F9",
    surface="#FFFFFF",
    pressed="#E6E9F2",
    text="#14171F",
    muted="#565D6D",
    line="#E1E4EC",
    border="#7C8496",
    primary="#2A4FD0",
    on_primary="#FFFFFF",
    primary_surface="#E0E8FF",
    on_primary_surface="#16338F",
    good="#17703B",
    warning="#8A5200",
    error="#B3261E",
    on_error="#FFFFFF",
    error_surface="#FCE4E2",
    on_error_surface="#7A1610",
    warning_surface="#FFF0D6",
    on_warning_surface="#663C00",
    code="#ECEEF4",
    scrim="#0B0D12",
)
DARK = Palette(
    background="#0F1217",
    surface="#191D25",
    pressed="#2A303C",
    text="#E9EBF1",
    muted="#A2AABA",
    line="#2A303C",
    border="#7C8598",
    primary="#94B2FF",
    on_primary="#0A1A47",
    primary_surface="#22315C",
    on_primary_surface="#D5E0FF",
    good="#7CD79A",
    warning="#F7BE62",
    error="#FFACA3",
    on_error="#5A0B06",
    error_surface="#53201C",
    on_error_surface="#FFDAD6",
    warning_surface="#4A3410",
    on_warning_surface="#FFE2B0",
    code="#0A0C10",
    scrim="#000000",
)
PALETTES = {Appearance.LIGHT: LIGHT, Appearance.DARK: DARK}


def contrast(one: Colour, other: Colour) -> float:
    """Return the contrast ratio of two colours, 1 to 21, as WCAG 2.2 defines it."""
    darker, brighter = sorted((_luminance(one), _luminance(other)))
    return (brighter + 0.05) / (darker + 0.05)


def _luminance(colour: Colour) -> float:
    red, green, blue = (_linear(int(colour[index : index + 2], 16) / 255) for index in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
