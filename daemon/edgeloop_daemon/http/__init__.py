"""The local API for editors, the command line and the dashboard."""
