"""What importing costs, and that the names of the contract are there."""

import subprocess
import sys

import poolcore


def run(program):
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()


def test_importing_loads_no_module_but_its_own():
    program = """
import sys
before = set(sys.modules)
import poolcore
with poolcore.Pool() as pool:
    pool.free(pool.get(1500))
    pool.free_many(pool.get_many(10, 10))
    pool.free(pool.alloc(10))
# Cython keeps its types and its version in two modules that are no files.
print(*sorted(name for name in set(sys.modules) - before if "cython_" not in name))
"""
    assert run(program) == ["poolcore", "poolcore._pool", "poolcore._python"]


def test_importing_the_package_loads_nothing_compiled():
    assert run("import sys; before = set(sys.modules); import poolcore; print(*set(sys.modules) - before)") == [
        "poolcore"
    ]


def test_every_public_name_can_be_had():
    for name in poolcore.__all__:
        assert getattr(poolcore, name) is not None
    assert set(poolcore.__all__) <= set(dir(poolcore))


def test_every_public_name_has_a_docstring():
    for name in poolcore.__all__:
        value = getattr(poolcore, name)
        if isinstance(value, type):
            assert value.__doc__, name
            for part, member in vars(value).items():
                if not part.startswith("_") and callable(member):
                    assert member.__doc__, f"{name}.{part}"


def test_verdicts_have_their_numbers():
    names = "LIVE NULL DOUBLE INTERIOR FOREIGN OTHER_POOL EXPORTED CORRUPT CLOSED"
    assert [verdict.name for verdict in poolcore.Verdict] == names.split()
    assert [int(verdict) for verdict in poolcore.Verdict] == list(range(9))
