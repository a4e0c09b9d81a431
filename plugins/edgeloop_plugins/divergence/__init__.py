"""Divergence search: the first stage, and then the first operator, at which two ways to run a model disagree."""
