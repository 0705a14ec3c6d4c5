"""Goodput with the limits of several providers at once."""
