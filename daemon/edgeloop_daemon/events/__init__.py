"""What has happened: one ordered, persistent log with cursors."""
