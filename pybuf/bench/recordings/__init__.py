"""Recorded programs: the formats that are read and written, and the words that they become (traces.py)."""
