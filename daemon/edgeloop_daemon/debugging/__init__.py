"""The host's half of debugging: breakpoints that a workspace keeps, and sessions that any editor attaches to."""
