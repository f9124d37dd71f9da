"""The C-level stress under the sanitizers: AddressSanitizer with UndefinedBehaviorSanitizer, then ThreadSanitizer.

    python tests/stress/sanitize.py [ROUNDS]

Builds threads.c, which includes the engine, and order.c, which includes the replay by threads, once for each and runs
them. No Python runs in the programs. What
ThreadSanitizer is told to overlook, and why, stands in tsan.supp. Needs gcc or clang with their runtimes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from engine_build import HERE, compile_program, generate, generate_order

KINDS = {
    "address, undefined": ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all",
                           "-fno-omit-frame-pointer"),
    # A fork of a process with threads is beyond ThreadSanitizer; the other run has it.
    "thread": ("-O1", "-g", "-fsanitize=thread", "-DNO_FORK"),
}
# ThreadSanitizer remembers so many accesses and no more. A report that lost one of its two stacks cannot be held
# against tsan.supp: the run is repeated with another seed, and a race that is one comes back.
LOST, ATTEMPTS = "failed to restore the stack", 5
OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": f"halt_on_error=1:history_size=7:second_deadlock_stack=1:suppressions={HERE / 'tsan.supp'}",
}


def main(rounds: str = "10") -> int:
    # Older ThreadSanitizers do not know the places where a kernel with much randomization puts things.
    fixed = ["setarch", "-R"] if shutil.which("setarch") else []
    status = 0
    with tempfile.TemporaryDirectory() as directory:
        where = generate_order(generate(Path(directory)))
        for kind, flags in KINDS.items():
            print(f"== {kind}", flush=True)
            for source in ("threads", "order"):
                program = compile_program(where, source, flags)
                for seed in range(1, 1 + ATTEMPTS):
                    done = subprocess.run([*fixed, program, rounds, str(seed)], env={**os.environ, **OPTIONS},
                                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                    if not done.returncode or LOST not in done.stdout:
                        break
                    print(f"seed {seed}: a report without its second stack, which cannot be judged; again", flush=True)
                print(done.stdout, end="", flush=True)
                status = status or done.returncode
    return 1 if status else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
