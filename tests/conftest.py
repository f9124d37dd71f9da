import os
import shutil

# Interpreters that tests start shall find the installed packages, as the tests do, and not the checkout.
os.environ["PYTHONSAFEPATH"] = "1"

# Programs that a fresh machine does not have, and the tests that need them; CI installs both.
NEEDED = {
    "valgrind": ("*instructions.py", "no instructions are counted"),
    "chromium": ("*_in_chromium.py", "no report is looked at in a browser"),
}
MISSING = [program for program in NEEDED if shutil.which(program) is None]
collect_ignore_glob = [NEEDED[program][0] for program in MISSING]


def pytest_report_header() -> list[str]:
    return [
        f"{program}: " + (f"not here, so {without} (apt install {program})" if program in MISSING else "here")
        for program, (_, without) in NEEDED.items()
    ]
