import os
import shutil
import signal

from hypothesis import settings

# Interpreters that tests start shall find the installed packages, as the tests do, and not the checkout.
os.environ["PYTHONSAFEPATH"] = "1"

# What a shell without job control starts in the background ignores Ctrl-C, and so would what tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run, so that a failure is the change's and can be had again.
settings.register_profile("repeated", derandomize=True, database=None, deadline=None)
settings.load_profile("repeated")

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
