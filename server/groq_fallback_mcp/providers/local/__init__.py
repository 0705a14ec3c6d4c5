"""Answers without Groq and without a network: a small speech model and a small text model in this process.

The extra `local` installs the engines. They are imported when first used, never with these modules.
"""
