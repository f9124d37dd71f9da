"""The documented routines from C, C++ and Cython, through the headers that are installed."""

from __future__ import annotations

import platform
import sysconfig
import threading

import pytest

import pybuf

from .conftest import HERE, STRICT, build_cython, compile_shared, load, run

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


# What <windef.h> brings, and no more: it has no NTSTATUS.
WINDEF = """
#define _WINDEF_
#define GUID_DEFINED
#include <stdint.h>
typedef uint32_t DWORD, ULONG, UINT, *PDWORD, *LPDWORD, *PULONG;
typedef int32_t LONG;
typedef LONG BOOL;
typedef unsigned short WORD, USHORT;
typedef unsigned char BYTE, UCHAR, *PBYTE, *LPBYTE, *PUCHAR;
typedef BYTE BOOLEAN;
typedef void *PVOID, *LPVOID, *HANDLE, **PHANDLE;
typedef struct HWND__ *HWND;
typedef uintptr_t DWORD_PTR, ULONG_PTR, SIZE_T, *PDWORD_PTR, *PSIZE_T;
typedef unsigned long long ULONGLONG;
typedef unsigned short WCHAR, *LPWSTR;
typedef const WCHAR *LPCWSTR;
typedef PVOID PSID, PSECURITY_DESCRIPTOR;
typedef enum _SID_NAME_USE { SidTypeUser = 1, SidTypeGroup } SID_NAME_USE;
typedef struct _GUID { uint32_t Data1; uint16_t Data2, Data3; uint8_t Data4[8]; } GUID;
#define VOID void
#define INFINITE 0xFFFFFFFF
"""


@pytest.mark.parametrize("flags", [("-std=c11",), ("-x", "c++", "-std=c++11")], ids=["C", "C++"])
def test_header_declares_nothing_again_where_windows_headers_came_first(tmp_path, flags):
    (tmp_path / "after.c").write_text(f"{WINDEF}#include <pybuf.h>\nNTSTATUS f(LONG answer);\n"
                                      "NTSTATUS f(LONG answer) { return answer; }\n")
    compile_shared(tmp_path / "after.c", tmp_path / "after.so", *STRICT, "-I", pybuf.get_include(), *flags)


# Of an ordinary x86-64 compiler; it needs the C library of no 32-bit system.
NARROW = [("-m32", "-ffreestanding")] if platform.machine() in ("x86_64", "AMD64") else []


@pytest.mark.parametrize("flags", [(), *NARROW], ids=lambda flags: "-".join(flags) or "native")
def test_header_has_windows_layouts_at_every_width_of_a_pointer(tmp_path, flags):
    (tmp_path / "uchar.h").write_text("typedef unsigned short char16_t;\n")
    (tmp_path / "widths.c").write_text("#include <pybuf.h>\nint unit;\n")
    run("cc", "-std=c11", *STRICT, *flags, "-fsyntax-only", "-I", tmp_path, "-I", pybuf.get_include(),
        tmp_path / "widths.c")
