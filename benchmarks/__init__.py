"""Runs against peers; each folder has a README that says how to run it and what came out."""
