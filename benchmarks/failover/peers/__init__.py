"""Peers that have no command of their own, each run in its own environment."""
