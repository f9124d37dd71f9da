import os
import shutil

# Interpreters that tests start shall find the installed packages, as the tests do, and not the checkout.
os.environ["PYTHONSAFEPATH"] = "1"

HAS_VALGRIND = shutil.which("valgrind") is not None

# Counting instructions needs valgrind, which a fresh machine does not have; CI installs it.
collect_ignore_glob = [] if HAS_VALGRIND else ["*instructions.py"]


def pytest_report_header() -> str:
    missing = "not here, so no instructions are counted (apt install valgrind)"
    return "valgrind: " + ("here" if HAS_VALGRIND else missing)
