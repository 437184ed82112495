"""Logs, traces, metrics and the names they use."""
