"""The documented routines from C, C++ and Cython, through the headers that are installed."""

from __future__ import annotations

import sysconfig
import threading

import pytest

import pybuf

from .conftest import HERE, STRICT, build_cython, compile_shared, load

SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")


@pytest.fixture(scope="module", params=["c11", "c++17", "cython"])
def routines(request, tmp_path_factory):
    where = tmp_path_factory.mktemp(request.param)
    if request.param == "cython":
        return build_cython(HERE / "routines.pyx", where)
    language = "c++" if "++" in request.param else "c"
    # Python's own headers are no C++ that -pedantic likes.
    strict = STRICT if language == "c" else (*STRICT, "-Wno-missing-field-initializers")
    return load(compile_shared(HERE / "routines.c", where / f"routines{SUFFIX}", *strict, f"-std={request.param}",
                               "-I", pybuf.get_include(), "-x", language))


def test_threads_allocate_and_free_without_the_gil(routines):
    machine = pybuf.Machine()
    wrong = []
    threads = [threading.Thread(target=lambda: wrong.append(routines.churn(machine, 3000))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [0] * 4
    assert machine.live() == []
    assert machine.check() is None
    machine.close()


def test_only_an_open_machine_can_be_had(routines):
    with pytest.raises(TypeError, match="Machine"):
        routines.churn(object(), 1)
    machine = pybuf.Machine()
    machine.close()
    with pytest.raises(ValueError, match="closed"):
        routines.churn(machine, 1)


@pytest.mark.parametrize("flags", [("-std=c99",), ("-std=c11", "-DPYBUF_MS_ABI"), ("-x", "c++", "-std=c++11")])
def test_header_needs_neither_python_nor_another_header(tmp_path, flags):
    (tmp_path / "alone.c").write_text("#define PYBUF_STATUS_NAMES\n#include <pybuf.h>\nDWORD f(void);\n"
                                      "DWORD f(void) { return (DWORD)sizeof(pybuf_api) + ERROR_BUFFER_INVALID; }\n")
    # C99 has no _Static_assert and says so; that is all there is to say.
    strict = [flag for flag in STRICT if flag != "-pedantic"] if "-std=c99" in flags else STRICT
    compile_shared(tmp_path / "alone.c", tmp_path / "alone.so", *strict, "-I", pybuf.get_include(), *flags)
