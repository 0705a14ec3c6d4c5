"""The command line: what a person types. Nothing below imports it."""
