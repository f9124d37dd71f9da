"""Runs a manifest on the workers of a Dask cluster: a manifest in, a result for each kind of machine out.

The unit is one whole comparison, which one worker runs from its first round to its last, and a worker runs one
at a time. All rounds of a comparison are thus of one machine. Results are put together only where the
fingerprints of their machines are the same; a comparison that was run on another kind of machine is in a result of its
own. The comparison of a worker that was lost is run again by another, from its beginning; its trials end with it.

A worker needs the same pybuf, and traces, libraries and captures under the same paths: those with a digest in the
manifest must have that content there.
"""

from __future__ import annotations

import importlib
import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pybuf.bench import analysis, choices, fingerprint, runner
from pybuf.bench.journal import JOURNAL, Journal, RunError
from pybuf.bench.jsonfile import decode
from pybuf.bench.manifest import ChosenContender, ChosenWorkload, Manifest
from pybuf.bench.result import Result
from pybuf.bench.tasks import SHIPPED, Plan, plan

#: Seconds to wait for the scheduler's answer, and for a worker to come.
CONNECTING_S = 5
WORKERLESS_S = 30
#: Every worker has one of these, and a comparison takes it.
RESOURCE = "pybuf-comparison"
EXAMPLE = "tcp://192.0.2.1:8786"
#: Parameters of workloads that are files.
FILES = ("table", "capture")

Say = Callable[[str], object]


class ClusterError(RunError):
    """The cluster cannot be used, or failed; the text is one line that says why and what to do."""


@dataclass(frozen=True)
class Unit:
    """One comparison: its place in the report, its id there, and a manifest of nothing else."""

    place: int
    id: str
    manifest: Manifest


def units(whole: Plan) -> list[Unit]:
    """The comparisons of a plan, each with its share of the time."""
    manifest = whole.manifest
    time_s = None if manifest.time_s is None else manifest.time_s / len(whole.tasks)
    contenders = [_absolute_contender(one) for one in manifest.contenders]
    return [
        Unit(place, task.id, replace(
            manifest, workloads=[_absolute_workload(task.chosen)], threads=[task.threads], metrics=[task.metric],
            time_s=time_s, contenders=contenders))
        for place, task in enumerate(whole.tasks)
    ]


def _absolute_contender(entry: ChosenContender) -> ChosenContender:
    return entry if entry.library is None else replace(entry, library=str(Path(entry.library).resolve()))


def _absolute_workload(chosen: ChosenWorkload) -> ChosenWorkload:
    parameters = {
        key: str(Path(value).resolve()) if key in FILES and value else value
        for key, value in chosen.parameters.items()
    }
    trace = chosen.trace
    if trace is not None and trace != SHIPPED:
        trace = str(Path(trace).resolve())
    return replace(chosen, parameters=parameters, trace=trace)


# ---- on a worker ---------------------------------------------------------------------------


def run_unit(given: dict[str, Any]) -> dict[str, Any]:
    """Run the manifest of one unit on this worker, and answer its result, both as plain dictionaries.

    Answers {"refused": why} when it cannot be run here. Ends early when the scheduler has called it off.
    """
    manifest = decode(Manifest, given)
    try:
        for chosen in manifest.workloads:
            if chosen.digest is not None and chosen.trace is not None and choices.digest(Path(chosen.trace)) != (
                chosen.digest
            ):
                raise RunError(f"{chosen.trace}: is not on the worker, or is another file there; copy it to it")
        return runner.run(plan(manifest), None, _stop_if_called_off()).as_dict()
    except (ValueError, RunError) as wrong:
        return {"refused": str(wrong)}


def _stop_if_called_off() -> runner.Progress:
    worker = _distributed().get_worker()
    key = worker.get_current_task()

    def look(words: str, share: float) -> None:
        task = worker.state.tasks.get(key)
        if task is None or task.state == "cancelled":
            raise KeyboardInterrupt  # as a run is ended everywhere

    return look


# ---- at home -------------------------------------------------------------------------------


def _distributed() -> Any:
    """The library, a third of a second to import: only for those who use it."""
    try:
        return importlib.import_module("distributed")
    except ModuleNotFoundError as missing:
        raise ClusterError(
            f"--cluster needs {missing.name}; install it with: pip install 'pybuf[cluster]'") from None


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    distributed = _distributed()
    try:
        # A Client that cannot be made of its address is not silent when it is collected.
        distributed.comm.get_address_host_port(address)
        client = distributed.Client(address, timeout=CONNECTING_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as failure:
        told = str(failure).splitlines()[0] if str(failure) else "no answer"
        raise ClusterError(
            f"--cluster {address}: no scheduler answers there ({told}); expected the address of one, such as {EXAMPLE}"
        ) from None
    try:
        with client.as_current():
            yield client
    finally:
        with suppress(Exception):  # a scheduler that is gone cannot be told that we go
            client.close(timeout=CONNECTING_S)


def _one_at_a_time() -> Any:
    """What has every worker, also one that comes later, run one comparison at a time."""
    async def setup(self: Any, worker: Any) -> None:
        await worker.set_resources(**{RESOURCE: 1})

    # Made like this because its base is imported for those only who use it.
    return type("OneAtATime", (_distributed().WorkerPlugin,), {"name": RESOURCE, "setup": setup})()


def run(address: str, whole: Plan, directory: Path | None, say: Say) -> list[Result]:
    """Run a plan on the cluster at ``address``; answers a result for each kind of machine, most comparisons first.

    Finished comparisons are kept in the journal of ``directory``, and are not run again by the next call.
    KeyboardInterrupt ends it early: the results then are not complete. Raises ClusterError, one line, when there is
    no scheduler or no worker, or when a comparison cannot be run.
    """
    every = units(whole)
    journal = Journal(None if directory is None else directory / JOURNAL)
    try:
        found = {
            line["unit"]: decode(Result, line["result"]) for line in journal.lines if "unit" in line
        }
        is_complete = True
        waiting = [unit for unit in every if unit.place not in found]
        if waiting:
            with _connected(address) as client:
                try:
                    for unit, result in _finished(client, address, waiting, say):
                        journal.add({"unit": unit.place, "result": result.as_dict(), "seconds": 0})
                        found[unit.place] = result
                        say(f"{unit.id}: done, {len(found)} of {len(every)}")
                except KeyboardInterrupt:
                    is_complete = False
        return merged(whole.manifest, every, found, is_complete)
    finally:
        journal.close()


def _finished(client: Any, address: str, waiting: Sequence[Unit], say: Say) -> Iterator[tuple[Unit, Result]]:
    distributed = _distributed()
    try:
        client.wait_for_workers(1, timeout=CONNECTING_S)
    except TimeoutError:
        raise ClusterError(
            f"--cluster {address}: the scheduler has no workers; start one with: dask worker {address}") from None
    try:
        client.register_plugin(_one_at_a_time())
    except Exception as failure:  # whatever a worker without pybuf or with another one raises
        raise ClusterError(
            f"--cluster {address}: a worker cannot run pybuf ({failure}); install the same version there") from None
    run_id = uuid.uuid4().hex  # keys are the scheduler's, which others use too
    pending = {
        client.submit(run_unit, unit.manifest.as_dict(), key=f"{RESOURCE}-{run_id}-{unit.place}",
                      resources={RESOURCE: 1}, pure=False): unit
        for unit in waiting
    }
    workerless_s = 0.0
    try:
        while pending:
            try:
                done = distributed.wait(list(pending), timeout=CONNECTING_S, return_when="FIRST_COMPLETED").done
            except TimeoutError:
                workerless_s = 0 if client.nthreads() else workerless_s + CONNECTING_S
                if workerless_s >= WORKERLESS_S:
                    raise ClusterError(
                        f"--cluster {address}: all workers are lost; start one with: dask worker {address}") from None
                continue
            for future in done:
                unit = pending.pop(future)
                yield unit, _result_of(future, unit)
    finally:
        with suppress(Exception):
            client.cancel(list(pending))


def _result_of(future: Any, unit: Unit) -> Result:
    try:
        answer = future.result()
    except Exception as failure:  # of dask's own kinds, as when several workers died with the comparison
        told = (str(failure) or type(failure).__name__).splitlines()[0]
        raise ClusterError(f"{unit.id}: the cluster gave no result ({type(failure).__name__}: {told})") from None
    if "refused" in answer:
        raise ClusterError(f"{unit.id}: {answer['refused']}")
    return decode(Result, answer)


def merged(manifest: Manifest, every: Sequence[Unit], found: dict[int, Result], is_complete: bool) -> list[Result]:
    """The results of units, by their places, as one for each fingerprint."""
    kinds: dict[str, list[tuple[Unit, Result]]] = {}
    for unit in every:
        if unit.place in found:
            print_of = json.dumps(found[unit.place].fingerprint, sort_keys=True)
            kinds.setdefault(print_of, []).append((unit, found[unit.place]))
    results = []
    for some in sorted(kinds.values(), key=len, reverse=True):
        first = some[0][1]
        comparisons = analysis.with_verdicts([
            replace(comparison, id=unit.id) for unit, result in some for comparison in result.comparisons])
        cpus = sorted({cpu for _, result in some for cpu in result.machine["cpus"]})
        results.append(replace(
            first, manifest=manifest, comparisons=comparisons, lead=analysis.lead(comparisons),
            is_complete=is_complete and all(result.is_complete for _, result in some),
            machine={**first.machine, "cpus": cpus},
        ))
    return results


def unlike(results: Sequence[Result]) -> list[str]:
    """How the machines of the later results differ from that of the first, a line each."""
    lines = []
    for number, other in enumerate(results[1:], start=2):
        refusing, warning = fingerprint.differences(results[0].fingerprint, other.fingerprint)
        lines.append(f"machine {number}: {'; '.join([*refusing, *warning]) or 'another fingerprint'}")
    return lines
