"""What the daemon, its plugins and the companion say to each other. Standard library only."""

__version__ = "0.1.0"
