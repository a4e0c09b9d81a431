"""The built-in plugins, found through entry points like any third party's."""
