"""At which exceptions a debugger can stop: the names that debugpy has for it."""

from __future__ import annotations

from typing import Literal

ExceptionFilter = Literal["raised", "uncaught", "userUnhandled"]
