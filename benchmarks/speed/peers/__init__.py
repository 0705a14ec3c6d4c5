"""The other contenders, each a program of its own that is run in an environment of its own."""
