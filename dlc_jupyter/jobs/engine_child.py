"""The process that runs one analysis: forked from the engine host, it does the work, tells of it, and ends."""

from __future__ import annotations

import contextlib
import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Collection, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from dlc_jupyter.analyses.base import Earlier, InputFile, Job, Poses, find_analysis
from dlc_jupyter.errors import AnalysisFailed, Refusal, without_paths
from dlc_jupyter.jobs import devices, protocol
from dlc_jupyter.orphans import die_with_parent


def be_child(order: protocol.Order, events: int, host: int) -> NoReturn:
    """Run an analysis in this freshly forked process, and end it whatever happens.

    Parameters
    ----------
    order : Order
        What to run.
    events : int
        The pipe to the worker.
    host : int
        The process id of the engine host, which must outlive this process.
    """
    code = 1
    try:
        os.setsid()
        die_with_parent()
        if os.getppid() != host:  # it died before the line above
            os._exit(1)
        _forget_host()
        teller = Teller(events)
        _enter(order)
        code = 0 if _run(order, teller) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)  # libraries must not clean up what belongs to the host


def _forget_host() -> None:
    """Undo what the host has set up for itself."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    with contextlib.suppress(OSError):  # when memory runs out, the kernel is to end this process, not a server
        Path("/proc/self/oom_score_adj").write_text("500")


def _enter(order: protocol.Order) -> None:
    """Make the surroundings those of the analysis: its log, its folder, its device."""
    log = os.open(order.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    faulthandler.enable()
    os.chdir(order.scratch)
    if order.lock is not None:
        devices.share(Path(order.lock))  # open until this process ends: so long the GPU is taken
    os.environ["CUDA_VISIBLE_DEVICES"] = order.device.removeprefix("cuda:") if order.device != "cpu" else ""
    # DeepLabCut makes a pool of forks where the method is "fork", which is no good with torch's threads; else it works
    # in this process.
    multiprocessing.set_start_method("spawn", force=True)


class Teller:
    """Tells the worker, from whichever thread."""

    def __init__(self, events: int) -> None:
        self._events = events
        self._lock = threading.Lock()

    def tell(self, event: str, **fields: Any) -> None:
        """Send one line, whole."""
        unsent = protocol.line({"event": event, **fields})
        with self._lock:
            while unsent:
                unsent = unsent[os.write(self._events, unsent) :]

    def report(self, kind: str, values: Mapping[str, Any]) -> None:
        """Be the `Job.report` of the analysis."""
        self.tell(kind, **values)


def _run(order: protocol.Order, teller: Teller) -> bool:
    """Run the analysis and tell its result, or why there is none."""
    try:
        analysis = find_analysis(order.analysis)()
        result = analysis.run(_job(order, analysis.validate(order.parameters), teller))
        earlier = [each["files"].values() for each in (*order.poses, order.earlier) if each]
        told = with_relative_files(result, Path(order.scratch), frozenset(chain.from_iterable(earlier)))
        teller.tell("result", result=told)
        return True
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        teller.tell("failed", error=explain(error, *_places(order)))
        return False


def _places(order: protocol.Order) -> list[str | Path]:
    """Return the folders of the server that an error may name."""
    places: list[str | Path] = [order.scratch, order.log, *filter(None, [order.superanimal_dir, order.memory])]
    if not order.model:
        return places
    from dlc_jupyter.pose.projects import folders_of

    return [*places, *folders_of(Path(order.model))]


def _job(order: protocol.Order, parameters: Any, teller: Teller) -> Job[Any]:
    return Job(
        parameters=parameters,
        inputs=[
            InputFile(each["file_id"], Path(each["path"]), each["filename"], each.get("camera", ""))
            for each in order.inputs
        ],
        scratch=Path(order.scratch),
        model=Path(order.model) if order.model else None,
        device="cpu" if order.device == "cpu" else "cuda:0",
        threads=order.threads,
        poses=[_earlier(Poses, each) if each else None for each in order.poses],
        earlier=_earlier(Earlier, order.earlier) if order.earlier else None,
        superanimal_dir=Path(order.superanimal_dir) if order.superanimal_dir else None,
        memory=Path(order.memory) if order.memory else None,
        report=teller.report,
    )


E = TypeVar("E", bound=Earlier)


def _earlier(kind: type[E], staged: Mapping[str, Any]) -> E:
    files = {field: Path(path) for field, path in staged["files"].items()}
    return kind(staged["analysis_id"], files, staged["result"])


def with_relative_files(
    result: Mapping[str, Any], scratch: Path, staged: Collection[str] = frozenset()
) -> dict[str, Any]:
    """Return the result with its files named relative to the scratch folder.

    Parameters
    ----------
    staged : collection of str
        The files that others have made. They may be links to where those are stored.

    Raises
    ------
    AnalysisFailed
        A file is missing, or lies elsewhere.
    """
    relative = dict(result)
    for field, value in result.items():
        if not field.endswith("_file") or value is None:
            continue
        path = Path(value) if str(value) in staged else Path(value).resolve()
        folder = scratch if str(value) in staged else scratch.resolve()
        if not path.is_file() or not path.is_relative_to(folder):
            raise AnalysisFailed(
                f"The analysis ended without its {field}.", hint="See the analysis's log.", kind="MissingOutput"
            )
        relative[field] = str(path.relative_to(folder))
    return relative


def explain(error: BaseException, *places: str | Path) -> dict[str, str]:
    """Return the record's ``error`` for whatever `Analysis.run` has raised: no traceback, and no path of the server.

    Parameters
    ----------
    error : BaseException
        What was raised.
    places : path
        Folders of the server that it may name, see `dlc_jupyter.errors.without_paths`.
    """
    if isinstance(error, AnalysisFailed):
        return error.as_json()
    if isinstance(error, Refusal):
        return {"type": type(error).__name__, "message": error.message, "hint": ""}
    hint = "The log of the analysis says more."
    if isinstance(error, SystemExit):
        code = without_paths(str(error.code), *places)[:500]
        return {"type": "SystemExit", "message": f"The analysis has called exit({code}).", "hint": hint}
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        hint = "Try a smaller batch_size, or device=cpu. " + hint
    lines = [line.strip() for line in without_paths(str(error), *places).splitlines()]
    message = next(filter(None, lines), f"The analysis ended with {type(error).__name__}.")[:500]
    return {"type": type(error).__name__, "message": message, "hint": hint}
