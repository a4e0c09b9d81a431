"""The phone app: holds the links to daemons and one worker process per running task."""
