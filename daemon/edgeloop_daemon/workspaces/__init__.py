"""Workspaces: their settings and whether they are trusted."""
