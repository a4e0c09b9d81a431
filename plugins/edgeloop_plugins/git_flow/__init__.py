"""Git: the one plugin that touches a repository."""
