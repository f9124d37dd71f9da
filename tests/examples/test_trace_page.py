"""The page that specifies our Parquet schema says what the code does."""

import re
from pathlib import Path

from pybuf.bench.recordings import parquet, records, traces

PAGE = Path(__file__).parents[2] / "docs" / "trace-format.md"


def test_the_page_says_what_the_schema_of_the_code_says():
    rows = re.findall(r"^\| (\w+) \| (uint\d+) \| (yes|no) \| (.*) \|$", PAGE.read_text(), re.MULTILINE)
    assert rows == [(name, kind, "yes" if nullable else "no", what) for name, kind, nullable, what in parquet.COLUMNS]
    assert f"`{parquet.VERSION_KEY.decode()}`, which is `{parquet.VERSION}`" in PAGE.read_text()
    assert f"`{parquet.PROGRAM_KEY.decode()}`" in PAGE.read_text()
    numbers = ", ".join(f"{number} {what}" for number, what in records.OPERATIONS.items() if number <= records.FAIL)
    assert numbers == parquet.COLUMNS[0][3]


def test_the_page_names_the_formats_and_ends_of_names_that_the_code_has():
    for ends in traces.FORMATS.values():
        assert f"| {' '.join(ends)} | " in PAGE.read_text()
