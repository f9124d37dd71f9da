"""The preloaded recorder: complete, in order, each process by itself, and readable whatever ended the program."""

from __future__ import annotations

import os
import resource
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from pybuf.bench import record
from pybuf.bench.recordings import recording, traces
from pybuf.bench.recordings.records import OPERATIONS, RECORD

WORKERS = Path(__file__).parents[1] / "recordings" / "workers.c"

# Programs in C: each is one main, and prints what the test is to find.
HEADERS = """#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Compiles a program, once for each source."""
    directory = tmp_path_factory.mktemp("programs")
    made = {}

    def build(name, text, *flags):
        if name not in made:
            source = directory / f"{name}.c"
            source.write_text(text)
            made[name] = directory / name
            subprocess.run(["cc", "-O1", "-fno-builtin", "-o", made[name], source, "-pthread", *flags], check=True)
        return str(made[name])

    return build


def run(command, file, follow=False, sizes=False, **options):
    env = record.environment(file, follow, sizes, os.environ)
    return subprocess.run(command, env=env, capture_output=True, text=True, **options)


def events(file):
    """All records of a file, as (operation, thread, address, size, alignment, flags)."""
    with file.open("rb") as raw:
        return [
            (OPERATIONS[operation], thread, address, size, alignment, flags)
            for batch in recording.read(raw).batches
            for _, address, size, thread, operation, alignment, flags in RECORD.iter_unpack(batch)
        ]


def header(file):
    return recording.Header.of(file.read_bytes()[:recording.HEADER_BYTES])


def test_the_recorder_links_nothing_but_the_c_library():
    text = record.RECORDER.read_bytes()
    assert b"Py_" not in text
    assert b"libpython" not in text
    needed = subprocess.run(["ldd", record.RECORDER], capture_output=True, text=True, check=True).stdout
    assert {line.split()[0].split("/")[-1].split(".")[0] for line in needed.splitlines()} <= {
        "linux-vdso", "libc", "ld-linux-x86-64", "ld-linux-aarch64"}


def test_every_function_is_recorded_with_its_size_and_alignment(built, tmp_path):
    program = built("every", HEADERS + """
    int main(void) {
        void *p = malloc(1001), *q, *r; printf("%p\\n", p);
        p = realloc(p, 1002); p = reallocarray(p, 2, 502); free(p);
        free(calloc(5, 201));
        posix_memalign(&q, 128, 1006); free(q);
        free(aligned_alloc(64, 1024 + 64)); free(memalign(256, 1008)); free(valloc(1009)); free(pvalloc(1010));
        r = realloc(NULL, 1011); r = realloc(r, 0);
        errno = 0; q = malloc((size_t)-1 / 4); printf("%d\\n", q == NULL && errno == ENOMEM);
        p = malloc(1013); p = realloc(p, 0) ? NULL : NULL;
        free(NULL); printf("%d\\n", (int)(malloc_usable_size(q = malloc(1014)) >= 1014)); free(q);
        q = reallocarray(NULL, (size_t)-1, 3); printf("%d\\n", q == NULL); posix_memalign(&q, 3, 8);
        return 0;
    }""")
    done = run([program], tmp_path / "f")
    address, *truths = done.stdout.split()
    assert truths == ["1", "1", "1"]
    seen = events(tmp_path / "f")
    start = seen.index(("allocate", 0, int(address, 16), 1001, 0, 0))
    found = [
        (operation, size, 1 << alignment if alignment else 0, flags)
        for operation, _, _, size, alignment, flags in seen[start:] if 1000 < size < 2000 or size > 1 << 40]
    assert found == [
        ("allocate", 1001, 0, 0), ("reallocate to", 1002, 0, 0), ("reallocate to", 1004, 0, 0),
        ("allocate", 1005, 0, 1), ("allocate", 1006, 128, 0), ("allocate", 1088, 64, 0), ("allocate", 1008, 256, 0),
        ("allocate", 1009, 4096, 0), ("allocate", 1011, 0, 0), ("fail", (1 << 62) - 1, 0, 0), ("allocate", 1013, 0, 0),
        ("allocate", 1014, 0, 0)]
    assert ("allocate", 4096, 4096) in [(operation, size, 1 << power) for operation, _, _, size, power, _ in seen]
    trace = traces.read(tmp_path / "f")
    assert (trace.unknown_frees, trace.lost_frees, trace.torn_lines, trace.failed_allocations) == (0, 0, 0, 1)


def test_threads_are_recorded_completely_and_in_an_order_that_can_have_happened(built, tmp_path):
    program = built("workers", WORKERS.read_text(), "-O2")
    assert run([program, "3000"], tmp_path / "f").returncode == 0
    trace = traces.read(tmp_path / "f")
    assert (trace.thread_count, trace.unknown_frees, trace.lost_frees, trace.torn_lines) == (5, 0, 0, 0)
    # Each of the four makes 3000 blocks: 188 of them aligned, 429 reallocated.
    assert trace.aligned_allocations == 4 * 188
    assert sum(word & 3 == traces.REALLOCATE for word in trace.events) == 4 * 429
    per_thread = [list(trace.threads).count(number) for number in range(5)]
    assert min(per_thread[1:]) > 3000
    assert trace.never_freed_bytes < 4096       # what the C library keeps for its threads


def test_a_killed_program_leaves_everything_that_it_did(built, tmp_path):
    program = built("killed", HEADERS + """
    int main(void) {
        for (int i = 0; i < 200000; i++) free(malloc(777));
        kill(getpid(), SIGKILL);
    }""")
    assert run([program], tmp_path / "f").returncode == -signal.SIGKILL
    trace = traces.read(tmp_path / "f")
    assert (trace.size_counts[777], trace.torn_lines) == (200_000, 0)


def test_a_child_that_is_not_followed_writes_nothing_and_leaves_the_file_alone(built, tmp_path):
    program = built("forks", HEADERS + """
    int main(int argc, char **argv) {
        free(malloc(5001));
        if (!fork()) { for (int i = 0; i < 1000; i++) free(malloc(5002)); execl("/bin/true", "true", NULL); }
        wait(NULL); free(malloc(5003)); return 0;
    }""")
    run([program], tmp_path / "f")
    counts = traces.read(tmp_path / "f").size_counts
    assert [counts.get(size) for size in (5001, 5002, 5003)] == [1, None, 1]
    assert os.listdir(tmp_path) == ["f"]


def test_children_that_are_followed_have_files_of_their_own(built, tmp_path):
    program = built("follows", HEADERS + """
    static void *churn(void *p) { for (int i = 0; i < 20000; i++) free(malloc(99)); return p; }
    int main(int argc, char **argv) {
        pthread_t t; pthread_create(&t, NULL, churn, NULL);
        if (argc < 2) for (int child = 0; child < 3; child++)
            if (!fork()) { for (int i = 0; i < 1000; i++) free(malloc(6001 + child)); _exit(0); }
        if (argc < 2 && !fork()) { execl("/proc/self/exe", "again", "x", NULL); }
        if (argc < 2) { while (wait(NULL) > 0) ; }
        pthread_join(t, NULL); free(malloc(6000)); return 0;
    }""")
    run([program], tmp_path / "f", follow=True)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 5
    main, *children = [traces.read(file) for file in files]
    assert main.size_counts[6000] == 1
    assert sorted(size for child in children for size in child.size_counts if size > 6000) == [6001, 6002, 6003]
    assert sum(6000 in child.size_counts for child in children) == 1       # the one that became another program
    assert {header(file).parent for file in files[1:]} == {header(files[0]).pid}
    for file in files[1:]:
        assert file.name == f"f.{header(file).pid}"


def test_a_process_that_becomes_another_program_is_recorded_as_that_one(built, tmp_path):
    program = built("becomes", HEADERS + """
    int main(int argc, char **argv) {
        free(malloc(argc < 2 ? 7001 : 7002));
        if (argc < 2) execl("/proc/self/exe", "again", "x", NULL);
        return 0;
    }""")
    run([program], tmp_path / "f")
    counts = traces.read(tmp_path / "f").size_counts
    assert (7001 in counts, counts[7002], header(tmp_path / "f").images) == (False, 1, 1)


def test_where_the_file_cannot_grow_recording_stops_and_the_program_goes_on(built, tmp_path):
    program = built("grows", HEADERS + """
    int main(void) {
        for (int i = 0; i < 300000; i++) free(malloc(888));
        puts("done"); return 0;
    }""")
    limit = 6 << 20
    done = run([program], tmp_path / "f", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert (done.returncode, done.stdout) == (0, "done\n")
    trace = traces.read(tmp_path / "f")
    found = header(tmp_path / "f")
    assert trace.notes["stopped"] == "File too large"
    assert trace.torn_lines == 0
    assert trace.recorded_events + trace.notes["unrecorded_events"] >= 600_000
    assert trace.recorded_events == ((4 << 20) - recording.HEADER_BYTES) // 32
    assert found.refused == trace.notes["unrecorded_events"]


def test_a_program_that_closes_every_file_and_opens_its_own_is_recorded_on(built, tmp_path):
    program = built("closes", HEADERS + """
    int main(void) {
        for (int i = 3; i < 1024; i++) close(i);
        for (int i = 3; i < 1024; i++) if (i == 500) { FILE *f = fopen("mine", "w"); dup2(fileno(f), 500); }
        for (int i = 0; i < 300000; i++) free(malloc(888));
        return 0;
    }""")
    assert run([program], tmp_path / "f", cwd=tmp_path).returncode == 0
    assert traces.read(tmp_path / "f").size_counts[888] == 300_000
    assert (tmp_path / "mine").read_bytes() == b""


def test_constructors_and_signal_handlers_may_allocate(built, tmp_path):
    program = built("early", HEADERS + """
    static void *kept;
    __attribute__((constructor(101))) static void early(void) {
        kept = malloc(9001); dlsym(RTLD_DEFAULT, "nothing"); dlerror();
    }
    static void again(int n) { (void)n; free(malloc(9002)); }
    int main(void) {
        signal(SIGUSR1, again); raise(SIGUSR1);
        free(kept); void *p = dlopen("libm.so.6", RTLD_NOW); dlclose(p); return 0;
    }""", "-ldl")
    assert run([program], tmp_path / "f").returncode == 0
    counts = traces.read(tmp_path / "f").size_counts
    assert (counts[9001], counts[9002]) == (1, 1)


def test_the_c_plus_plus_operator_new_is_seen(tmp_path):
    source = tmp_path / "new.cpp"
    source.write_text("struct alignas(128) A { char c[3000]; }; int main() { delete new char; delete[] new int[1000]; "
                      "A *volatile a = new A; delete a; }")
    subprocess.run(["c++", "-O0", "-std=c++17", "-o", tmp_path / "new", source], check=True)
    assert run([str(tmp_path / "new")], tmp_path / "f").returncode == 0
    trace = traces.read(tmp_path / "f")
    assert (trace.size_counts[4000], trace.size_counts[3072], trace.aligned_allocations) == (1, 1, 1)


ARRIVALS = HEADERS + """
    static int pair[2];
    static void send_(size_t n) { static char out[5000]; if (write(pair[0], out, n) < 0) abort(); }
    int main(void) {
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) return 1;
        char *p = malloc(4096), on_stack[4096];
        send_(1500); read(pair[1], p + 100, 2000);
        usleep(20000);
        send_(300); recv(pair[1], p, 2000, 0);
        p = realloc(p, 100000);
        usleep(20000); free(p);
        send_(40); recvfrom(pair[1], on_stack, 4096, 0, NULL, NULL);
        p = malloc(60); send_(50); recv(pair[1], p, 60, MSG_PEEK); recv(pair[1], p, 60, MSG_DONTWAIT);
        recv(pair[1], p, 60, MSG_DONTWAIT);
        FILE *f = fopen("/proc/self/exe", "r"); read(fileno(f), on_stack, 123);
        return 0;
    }"""


def test_sizes_of_what_arrives_and_lifetimes_of_its_buffers(built, tmp_path):
    program = built("arrivals", ARRIVALS)
    chosen = record.plan([program], "auto", True)
    done = record.record(chosen, tmp_path / "s.csv", False, True)
    assert (done.status, done.receives) == (0, 4)
    heading, *rows = (tmp_path / "s.csv").read_text().splitlines()
    assert heading == record.SIZES_HEADER
    table = {int(row.split(",")[0]): [float(cell) for cell in row.split(",")[1:]] for row in rows}
    assert sorted(table) == [40, 50, 300, 1500]
    assert [table[size][2:4] for size in (1500, 300, 50, 40)] == [[1, 1], [1, 1], [1, 1], [1, 0]]
    assert table[1500][4] >= 20e6       # until the block received again
    assert table[300][4] >= 20e6        # through a reallocation, until it was freed
    assert table[40][1] == table[40][4] == 0
    assert table[1500][1] == pytest.approx(table[1500][0] * table[1500][4] / 1e9, rel=1e-4)
    assert os.listdir(tmp_path) == ["s.csv"]


def test_without_sizes_nothing_is_recorded_of_what_arrives(built, tmp_path):
    run([built("arrivals", ARRIVALS)], tmp_path / "f")
    assert "receive" not in {operation for operation, *_ in events(tmp_path / "f")}


def test_python_itself_is_recorded_with_its_threads(tmp_path):
    code = ("import threading; t = [threading.Thread(target=lambda: [bytes(n) for n in range(1000, 3000)]) "
            "for _ in range(3)]; [i.start() for i in t]; [i.join() for i in t]")
    assert run([sys.executable, "-c", code], tmp_path / "f").returncode == 0
    trace = traces.read(tmp_path / "f")
    assert (trace.thread_count, trace.lost_frees, trace.torn_lines) == (4, 0, 0)
    assert trace.size_counts[1777 + 33] >= 3


def test_the_records_are_as_the_page_of_the_code_says():
    assert RECORD.size == 32
    assert struct.calcsize("=16sIIQQQQIIIIII256s") < recording.HEADER_BYTES


def test_what_recording_costs_is_measured():
    assert 1 < record.cost_ns() < 100_000
