"""The harness must cost every contender the same: counted by callgrind, which repeats exactly."""

import json
import os
import re
import subprocess
import sys

from pybuf.bench.contenders import CONTENDERS, ENVIRONMENT
from pybuf.bench.recordings import traces

LINES = [b"= Start", b"+ 0x1 0x20", b"+ 0x2 0x5dc", b"< 0x1", b"> 0x3 0x400", b"- 0x2", b"- 0x3"]
REPEATS = 50


def test_the_harness_counts_the_same_instructions_through_every_contenders_pointers(tmp_path):
    trace = traces.parse(LINES, "t")
    words = tmp_path / "words"
    words.write_bytes(trace.events.tobytes() * REPEATS)
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    processors = sorted(os.sched_getaffinity(0))
    trials = {}
    for number, name in enumerate(CONTENDERS):
        order = {
            "workload": "trace", "parameters": {}, "contenders": [{"name": name}], "metric": "time", "threads": 1,
            "rounds": 1, "seed": 0, "words": str(words), "recorded": trace.recorded_words * REPEATS,
            "slots": trace.slots, "touch": "line", "passes": 1, "offset": 64,
            "cpus": [processors[number % len(processors)]],
        }
        trials[name] = subprocess.Popen(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={tmp_path / name}",
             "--toggle-collect=*replay_line_loop", sys.executable, "-P", "-m", "pybuf.bench.trial", json.dumps(order)],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
    counts = {}
    for name, trial in trials.items():
        answer, complaint = trial.communicate()
        assert trial.returncode == 0, complaint
        if "missing" not in json.loads(answer):
            counts[name] = _own_instructions(tmp_path / name)
    assert {"poolcore", "glibc", "pymalloc", "empty"} <= counts.keys()
    assert len(set(counts.values())) == 1, counts
    assert counts["empty"] > 5 * trace.recorded_words * REPEATS


def _own_instructions(path):
    """Instructions of the loop itself, without those of the functions it calls."""
    shown = subprocess.run(
        ["callgrind_annotate", "--auto=no", "--threshold=100", path], capture_output=True, text=True, check=True
    ).stdout
    found = re.search(r"([\d,]+) \([^)]*\)\s+\S*_replay_line_loop\b", shown)
    assert found, shown
    return int(found[1].replace(",", ""))
