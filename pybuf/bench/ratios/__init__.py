"""The table of speed in the README: every row, what takes it, and the floors it is held against."""
