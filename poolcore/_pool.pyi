"""The engine: functions for Cython and C, nothing for Python."""
