"""Property tests run the same examples everywhere, so that a failure in CI is a failure at the desk."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("edgeloop", derandomize=True, deadline=None, max_examples=300, database=None)
settings.load_profile("edgeloop")
