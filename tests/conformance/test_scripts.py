"""The rows of RasCustomScriptExecute: a shared library in each convention, and a function of Python."""

import shlex
import subprocess
import sysconfig

import pytest
from conformance import ROWS, SCENARIOS
from doors import IS_X86_64

import pybuf
from pybuf.ras import run_script

SCRIPTS = [row for row in ROWS.values() if row.doors == "script"]
KINDS = ["python", "C", *(["C-ms"] if IS_X86_64 else [])]

SOURCE = """
#include <pybuf.h>

__attribute__((visibility("default"))) DWORD WINAPI RasCustomScriptExecute(
    HANDLE hPort, LPCWSTR lpszPhonebook, LPCWSTR lpszEntryName, PFNRASGETBUFFER pfnRasGetBuffer,
    PFNRASFREEBUFFER pfnRasFreeBuffer, PFNRASSENDBUFFER pfnRasSendBuffer, PFNRASRECEIVEBUFFER pfnRasReceiveBuffer,
    PFNRASRETRIEVEBUFFER pfnRasRetrieveBuffer, HWND hWnd, RASDIALPARAMS *params, PVOID pvReserved) {
    static const char name[] = "taken", word[] = "over", domain[] = "HERE";
    RASCUSTOMSCRIPTEXTENSIONS *extensions = pvReserved;
    PBYTE buffer;
    DWORD size = 10, status = 0;
    if (lpszPhonebook[0] != 'b' || lpszPhonebook[1] != 0 || lpszEntryName[0] != 0x20AC || hWnd != NULL)
        return 1;
    if (params->dwSize != sizeof *params || params->szEntryName[0] != 0x20AC || extensions->dwSize != 12)
        return 2;
    for (const WCHAR *c = params->szUserName; *c != 0; c++)
        status = 10 * status + (*c - '0');
    if (pfnRasGetBuffer(&buffer, &size) != 0 || size != 10 || pfnRasSendBuffer(hPort, buffer, 10) != 0)
        return 3;
    if (pfnRasRetrieveBuffer(hPort, buffer, &size) != 610 || pfnRasReceiveBuffer(hPort, buffer, &size, 0, 0) != 607)
        return 4;
    if (pfnRasFreeBuffer(buffer) != 0 || pfnRasFreeBuffer(buffer) != 610)
        return 5;
    for (size_t i = 0; i < sizeof name; i++) params->szUserName[i] = (WCHAR)name[i];
    for (size_t i = 0; i < sizeof word; i++) params->szPassword[i] = (WCHAR)word[i];
    for (size_t i = 0; i < sizeof domain; i++) params->szDomain[i] = (WCHAR)domain[i];
    return status;
}
"""


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    where = tmp_path_factory.mktemp("script")
    (where / "script.c").write_text(SOURCE)
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
    for kind in KINDS[1:]:
        done = subprocess.run([*compiler, "-shared", "-fPIC", f"-I{pybuf.get_include()}",
                               *(["-DPYBUF_MS_ABI"] if kind == "C-ms" else []), str(where / "script.c"), "-o",
                               str(where / f"{kind}.so")], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return where


def in_python(port, phonebook, entry, get, free, send, receive, retrieve, window, params, extensions):
    assert (phonebook, entry, window, params.szEntryName, extensions.dwSize) == ("b", "€", None, "€", 12)
    status = int(params.szUserName)
    _, buffer, size = get(10)
    assert (size, send(port, buffer, size), free(buffer), free(buffer)) == (10, 0, 0, 610)
    params.szUserName, params.szPassword, params.szDomain = "taken", "over", "HERE"
    return status


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("row", SCRIPTS, ids=lambda row: f"{row.id}-{row.function}")
def test_script(row, kind, libraries):
    machine = pybuf.Machine(clock="manual")
    port = machine.ras.open_port()

    def run(status):
        script = in_python if kind == "python" else libraries / f"{kind}.so"
        return run_script(script, port=port, phonebook="b", entry="€", user_name=str(status),
                          abi="ms" if kind == "C-ms" else "platform")

    result = SCENARIOS[row.id].play(run)
    assert result.status is pybuf.RasStatus[row.status]
    assert result.status == int(row.value)
    assert len(port.transport.peer.received) == 10
    assert machine.live() == []
    assert machine.check() is None
    machine.close()
