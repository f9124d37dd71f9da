"""Custom scripts of RAS: the example in C, in both conventions, against a real server; and scripts in Python."""

import contextlib
import platform
import shlex
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path

import pytest

import pybuf
from pybuf import ras
from pybuf.ras import run_script

HERE = Path(__file__).parent
ABIS = ["platform", *(["ms"] if platform.machine() in ("x86_64", "AMD64") else [])]


def compiled(source, where, abi="platform"):
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
    library = where / f"script-{abi}.so"
    done = subprocess.run(
        [*compiler, "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", f"-I{pybuf.get_include()}",
         *(["-DPYBUF_MS_ABI"] if abi == "ms" else []), str(source), "-o", str(library)],
        capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return library


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    where = tmp_path_factory.mktemp("script")
    return {abi: compiled(HERE / "script.c", where, abi) for abi in ABIS}


class Server:
    """Asks who is there; hangs up on strangers."""

    def __init__(self):
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.address = self.listening.getsockname()
        self.heard = []
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                peer, _ = self.listening.accept()
            except OSError:
                return
            with peer, peer.makefile("rb") as lines, contextlib.suppress(ConnectionError):
                peer.sendall(b"\xff\xfdpybuf server\r\nlogin: ")
                self.heard.append(self.line(lines))
                time.sleep(0.01)
                for letter in b"password: ":
                    peer.sendall(bytes([letter]))
                self.heard.append(self.line(lines))
                if self.heard[-2:] == [b"ada", b"countess"]:
                    peer.sendall(b"welcome to domain ENGINES\r\n")
                    lines.read()

    def line(self, lines):
        found = b""
        while (letter := lines.read(1)) not in (b"\r", b""):
            found += letter
        return found


@pytest.fixture
def server():
    made = Server()
    yield made
    made.listening.close()


@pytest.fixture
def machine():
    made = pybuf.Machine()
    yield made
    assert made.check() is None
    made.close()


@pytest.mark.parametrize("abi", ABIS)
def test_example_logs_in_to_a_server(machine, server, example, abi):
    port = machine.ras.open_port(ras.Tcp(*server.address))
    result = run_script(example[abi], port=port, user_name="ada", password="countess", timeout=60, abi=abi)
    assert result == (pybuf.RasStatus.ERROR_SUCCESS, "ada", "countess", "ENGINES", [])
    assert server.heard == [b"ada", b"countess"]
    assert port.settings == pybuf.RasCommSettings()
    assert machine.live() == []


def test_example_answers_why_the_server_left(machine, server, example):
    port = machine.ras.open_port(ras.Tcp(*server.address))
    result = run_script(example["platform"], port=port, user_name="eve", password="apple", timeout=60)
    assert result.status is pybuf.RasStatus.ERROR_REMOTE_DISCONNECTION
    assert (result.user_name, result.domain, result.unfreed) == ("eve", "", [])


def test_time_out_hangs_up(machine, example):
    result = run_script(example["platform"], port=machine.ras.open_port(), timeout=0.05)
    assert result.status is pybuf.RasStatus.ERROR_USER_DISCONNECTION


@pytest.mark.parametrize("abi", ABIS)
def test_command_runs_the_example(server, example, abi):
    def run(*more):
        return subprocess.run(
            [sys.executable, "-m", "pybuf", "ras-run", str(example[abi]), "--abi", abi, "--user", "ada", "--tcp",
             f"localhost:{server.address[1]}", *more], capture_output=True, text=True, timeout=60)

    done = run("--password", "countess")
    assert done.stdout == "status     ERROR_SUCCESS (0)\nuser name  ada\ndomain     ENGINES\n"
    assert (done.returncode, done.stderr) == (0, "")
    done = run("--password", "wrong")
    assert "ERROR_REMOTE_DISCONNECTION (629)" in done.stdout
    assert done.returncode == 1


def test_command_refuses_what_it_cannot_use(tmp_path, server, example):
    def refused(*arguments):
        done = subprocess.run([sys.executable, "-m", "pybuf", "ras-run", *map(str, arguments)], capture_output=True,
                              text=True, timeout=60)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("Error: ")
        assert done.stderr.count("\n") == 1
        return done.stderr

    library, address = example["platform"], f"localhost:{server.address[1]}"
    for wrong in ("localhost", "localhost:", ":2323", "localhost:0", "localhost:65536", "localhost:http"):
        assert "expected HOST:PORT" in refused(library, "--tcp", wrong)
    for wrong in (tmp_path / "missing.so", tmp_path):
        assert "no such file" in refused(wrong, "--tcp", address)
    assert "localhost:1" in refused(library, "--tcp", "localhost:1")
    assert "name of a host" in refused(library, "--tcp", "a" * 300 + ":2323")
    assert "seconds" in refused(library, "--tcp", address, "--timeout", "nan")
    assert "szUserName" in refused(library, "--tcp", address, "--user", "a" * 257)
    assert "test_script.py" in refused(__file__, "--tcp", address)
    (tmp_path / "empty.c").write_text("int nothing;")
    assert "exports no RasCustomScriptExecute" in refused(compiled(tmp_path / "empty.c", tmp_path), "--tcp", address)


def test_python_script_gets_the_eleven_parameters(machine):
    port = machine.ras.open_port(ras.Memory(lambda peer, data: peer.send(data[::-1])))
    seen = []

    def script(*parameters):
        handle, phonebook, entry, get, free, send, receive, retrieve, window, params, extensions = parameters
        seen.extend((handle, phonebook, entry, window, params.szEntryName, params.szDomain, extensions.dwSize))
        event = pybuf.Event()
        status, buffer, size = get(3)
        buffer[:] = b"abc"
        assert (status, size) == (0, 3)
        assert extensions.pfnRasSetCommSettings(handle, pybuf.RasCommSettings()) == 0
        assert send(handle, buffer, 3) == 0
        assert receive(handle, buffer, 1000, event) == (0, 0)
        assert event.wait(30)
        assert retrieve(handle, buffer) == (0, 3)
        assert bytes(buffer) == b"cba"
        assert free(buffer) == 0
        params.szUserName, params.szPassword = "grace", "käse🧀"
        return 0

    result = run_script(script, port=port, phonebook="book", entry="work", domain="NAVY")
    assert seen == [port, "book", "work", None, "work", "NAVY", 12]
    assert result == (0, "grace", "käse🧀", "NAVY", [])


def test_what_a_script_leaves_is_reported_and_freed(machine):
    with machine:
        result = run_script(lambda *parameters: parameters[3](77)[0] or 12345)
    assert result.status == 12345
    assert [block.size for block in result.unfreed] == [77]
    assert machine.live() == []


def test_script_that_raises(machine):
    def script(*parameters):
        parameters[3](10)
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        run_script(script, port=machine.ras.open_port())
    assert machine.live() == []
    with pytest.raises(TypeError, match="answers a status"):
        run_script(lambda *parameters: None, port=machine.ras.open_port())


def test_arguments_that_cannot_be_used(machine, tmp_path):
    port = machine.ras.open_port()

    def script(*parameters):
        raise AssertionError("not called")

    for wrong, error, word in (
        ({"abi": "stdcall"}, ValueError, "abi"), ({"domain": "D" * 16}, ValueError, "szDomain"),
        ({"user_name": "a\0b"}, ValueError, "user_name"), ({"phonebook": None}, TypeError, "phonebook"),
        ({"password": b"x"}, TypeError, "password"), ({"timeout": -1}, ValueError, "timeout"),
        ({"timeout": float("nan")}, ValueError, "timeout"), ({"timeout": "5"}, TypeError, ">="),
        ({"port": port.handle}, TypeError, "port"),
    ):
        with pytest.raises(error, match=word):
            run_script(script, **{"port": port, **wrong})
    with pytest.raises(FileNotFoundError, match="no such library"):
        run_script(tmp_path / "missing.so", port=port)
    with pytest.raises(TypeError):
        run_script(5, port=port)
    port.close()
    with pytest.raises(ValueError, match="no open port"):
        run_script(script, port=port)


def test_library_in_the_current_folder_needs_no_path(machine, example, monkeypatch):
    monkeypatch.chdir(example["platform"].parent)
    result = run_script(example["platform"].name, port=machine.ras.open_port(), timeout=0)
    assert result.status is pybuf.RasStatus.ERROR_USER_DISCONNECTION


@pytest.mark.parametrize(("answer", "status"), [(True, 1), (-1, 0xFFFFFFFF), (2**32 + 631, 631)])
def test_answer_is_a_dword(machine, answer, status):
    assert run_script(lambda *parameters: answer, port=machine.ras.open_port(), timeout=1e300).status == status


def test_sixty_fifth_script_is_refused(machine):
    port = machine.ras.open_port()
    sessions = [machine.ras.open_session(port) for _ in range(64)]
    with pytest.raises(pybuf.RasError, match="64 sessions"):
        run_script(lambda *parameters: 0, port=port)
    sessions.pop().end()
    assert run_script(lambda *parameters: 0, port=port).status == 0


def test_scripts_run_beside_one_another(machine, server, example):
    results = []

    def work(abi):
        port = machine.ras.open_port(ras.Memory(lambda peer, data: peer.send(
            {b"ada\r": b"password: ", b"countess\r": b"domain ENGINES\r\n"}[data])))
        port.transport.peer.send(b"login: ")
        results.append(run_script(example[abi], port=port, user_name="ada", password="countess", abi=abi))

    threads = [threading.Thread(target=work, args=(abi,)) for abi in ABIS * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [(0, "ada", "countess", "ENGINES", [])] * 4 * len(ABIS)


def test_interrupt_hangs_up_and_waits(machine):
    port = machine.ras.open_port()
    ended = []

    def script(handle, phonebook, entry, get, free, send, receive, retrieve, *others):
        event = pybuf.Event()
        _, buffer, _ = get(10)
        assert receive(handle, buffer, 0xFFFFFFFF, event)[0] == 0
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        assert event.wait(30)
        ended.append(retrieve(handle, buffer)[0])
        return ended[0]

    with pytest.raises(KeyboardInterrupt):
        run_script(script, port=port)
    assert ended == [631]
    assert machine.live() == []


def test_interrupt_is_not_lost_when_the_script_raises(machine):
    def script(handle, phonebook, entry, get, free, send, receive, retrieve, *others):
        event = pybuf.Event()
        assert receive(handle, get(10)[1], 0xFFFFFFFF, event)[0] == 0
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        assert event.wait(30)
        raise KeyError("hung up")

    with pytest.raises(KeyboardInterrupt) as caught:
        run_script(script, port=machine.ras.open_port())
    assert isinstance(caught.value.__cause__, KeyError)
    assert machine.live() == []
