"""Measurements: recorded traces, the allocators they are replayed through, and the report of it."""
