"""Drives the real server from outside, as a client does: over stdio, with the SDK's own client, against the simulator."""
