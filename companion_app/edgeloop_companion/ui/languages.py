"""The language that the system is in."""

from __future__ import annotations

import locale

from edgeloop_companion.store.settings import Language


def system_language() -> Language:
    """Return Chinese where the system is in it, else English."""
    language, _ = locale.getlocale()
    return Language.CHINESE if (language or "").lower().startswith(("zh", "chinese")) else Language.ENGLISH
