"""Metrics for Prometheus, and traces and metrics for OpenTelemetry: facts about calls, never their text."""
