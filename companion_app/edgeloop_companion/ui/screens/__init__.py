"""The screens, each a module with its rules beside it."""
