"""The speed rows: what is timed, against whom, and the table that `make ratios` prints."""
