"""The directory of a run: its manifest, and a journal of finished rounds that an interrupted run goes on from."""

from __future__ import annotations

import fcntl
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pybuf.bench.files import check_regular
from pybuf.bench.jsonfile import ForeignFileError
from pybuf.bench.manifest import Manifest
from pybuf.bench.manifest import load as load_manifest
from pybuf.bench.result import Result

#: In a run's directory.
JOURNAL = "rounds.jsonl"
#: The last line of the journal of a run that was finished.
ENDED = b'{"is_ended":true,"seconds":0}\n'


class RunError(Exception):
    """A run that cannot go on; its text is one line that says why and what to do."""


class Journal:
    """Finished rounds, a line of JSON each: what an interrupted run goes on from.

    A line ends in a checksum of the rest, so that what was torn or edited is not taken for a round. While a run writes
    there, the file is locked. Without a path nothing is kept.

    Raises RunError, one line, when a line is damaged, another run is writing there, or the file cannot be opened.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.lines: list[dict[str, Any]] = []
        self.file = None
        if path is None:
            return
        whole = b""
        if path.exists():
            text = path.read_bytes()
            whole = text[:text.rfind(b"\n") + 1]  # the last line may have been cut off
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                self.lines.append(_unsealed(line))
            except ValueError:
                raise RunError(f"{path}: line {number} is damaged; delete the directory to start again") from None
        with self._told():
            self.file = path.open("r+b" if path.exists() else "wb")
            if not _is_lockable(self.file.fileno()):
                self.close()
                raise RunError(_beside(path.parent))
            if path.is_file():
                self.file.truncate(len(whole))
                self.file.seek(len(whole))

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as failure:
            raise RunError(
                f"{self.path}: {failure.strerror}; the rounds before this one are kept: make room, and the same "
                "command goes on from there"
            ) from None

    def add(self, line: dict[str, Any]) -> None:
        """Write a line, and have it on its way to the disk before the next round begins. RunError when that is full."""
        self.lines.append(line)
        if self.file is not None:
            with self._told():
                self.file.write(_sealed(line))
                self.file.flush()

    def close(self) -> None:
        """No more lines."""
        if self.file is not None:
            with suppress(OSError):  # what could not be written was told when it was tried
                self.file.close()


def _sealed(line: dict[str, Any]) -> bytes:
    text = json.dumps(line, separators=(",", ":")).encode()
    return text[:-1] + b',"crc":%d}\n' % zlib.crc32(text)


def _unsealed(text: bytes) -> dict[str, Any]:
    """The line that became ``text``. Raises ValueError when it is another."""
    if text + b"\n" == ENDED:
        return {"is_ended": True, "seconds": 0}
    start, _, crc = text.rpartition(b',"crc":')
    if crc != b"%d}" % zlib.crc32(start + b"}"):
        raise ValueError("the checksum is of another line")
    line: dict[str, Any] = json.loads(start + b"}")
    return line


def _is_lockable(file: int) -> bool:
    """Lock an open file as long as it is open, unless another run has."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _beside(directory: Path) -> str:
    return f"another run is writing to {directory}; wait until it ends, or choose another directory"


def begin(manifest: Manifest, directory: Path, is_seed_given: bool) -> tuple[Manifest, bool]:
    """Prepare ``directory`` for a run; answers the manifest to run, and whether it goes on with an unfinished one.

    An unfinished run of the same lends its seed, unless another was given. A finished one is replaced once the new
    one is done. Raises RunError, one line, for a directory that cannot be written or holds another unfinished run.
    """
    path = directory / "manifest.json"
    journal = directory / JOURNAL
    try:
        directory.mkdir(parents=True, exist_ok=True)
        check_regular(journal)
        if journal.exists():
            with journal.open("rb") as file:
                if not _is_lockable(file.fileno()):
                    raise RunError(_beside(directory))
        if path.exists() and journal.exists() and not _is_ended(journal):
            begun = load_manifest(path)
            if not manifest.is_same_run(begun) or (is_seed_given and manifest.seed != begun.seed):
                raise RunError(
                    f"{directory} holds another run that is not finished: {begun.command_line}; finish it with that "
                    "command, delete the directory, or choose another"
                )
            return replace(manifest, seed=begun.seed), True
        journal.unlink(missing_ok=True)
        manifest.save(path)
    except ForeignFileError as foreign:
        raise RunError(f"{foreign}; choose another directory") from None
    except FileExistsError:
        raise RunError(f"-o {directory}: is no directory; expected a directory to write to") from None
    except OSError as failure:
        raise RunError(f"-o {directory}: {failure.strerror}; expected a directory to write to") from None
    return manifest, False


def _is_ended(journal: Path) -> bool:
    return journal.read_bytes().endswith(ENDED)


def write(found: Result, directory: Path) -> None:
    """Write what was found into ``directory``: result.json, and the journal's last line. An OSError is the caller's."""
    found.save(directory / "result.json")
    if found.is_complete:
        end(directory)


def end(directory: Path) -> None:
    """Write the journal's last line: the next run there begins anew. An OSError is the caller's."""
    with (directory / JOURNAL).open("ab") as journal:
        journal.write(ENDED)
