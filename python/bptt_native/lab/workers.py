"""Jobs of an experiment, measured in parallel processes with one thread each.

The processes are new interpreters that share nothing with the caller: no thread is forked, and the
caller's main module is not imported again. They end when their connection is closed, so none
outlives the caller.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path

from .experiment import Case, Row

Measure = Callable[[Case, int], Sequence[Row]]
PROGRAM = "import sys; from bptt_native.lab.worker import serve; serve(int(sys.argv[1]))"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
STANDARD_ERROR = 2


class JobError(RuntimeError):
    """A job of an experiment raised an exception, or its process ended."""


class Worker:
    """A process that measures one job at a time. Its standard output is the standard error."""

    def __init__(self) -> None:
        path = os.pathsep.join(folder or str(Path.cwd()) for folder in sys.path)
        self.jobs: Connection
        self.jobs, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", PROGRAM, str(theirs.fileno())],
                stdin=subprocess.DEVNULL, stdout=STANDARD_ERROR, pass_fds=[theirs.fileno()],
                env={**os.environ, **ONE_THREAD, "PYTHONPATH": path},
            )  # fmt: skip

    def start(self, measure: Measure, case: Case, seed: int) -> None:
        """Start a job."""
        with suppress(ConnectionError):  # `finish` reports a process that has ended
            self.jobs.send((measure, case, seed))

    def finish(self) -> tuple[list[Row], float]:
        """Wait for the job; return its rows and its CPU time in seconds.

        Raises
        ------
        JobError
            The job failed, or its process ended.
        """
        try:
            answer: tuple[list[Row], float] | str = self.jobs.recv()
        except (EOFError, ConnectionError):
            raise JobError(f"its process ended with {self.stop()}") from None
        if isinstance(answer, str):
            raise JobError(answer.strip())
        return answer

    def stop(self) -> int:
        """Kill the process and return its exit code."""
        self._process.kill()
        self.jobs.close()
        return self._process.wait()


def measure_all(
    measure: Measure, jobs: Sequence[tuple[Case, int]], workers: int,
    done: Callable[[int, int], None] | None = None,
) -> tuple[list[list[Row]], float]:  # fmt: skip
    """Measure all jobs.

    Parameters
    ----------
    measure : callable
        A function at the top of a module, so that another process finds it.
    jobs : sequence of (case, seed)
        They begin in this order.
    workers : int
        The number of parallel processes.
    done : callable (jobs done, jobs in all), optional
        Called after each job.

    Returns
    -------
    rows : list of list of Row
        The rows of each job, in the order of the jobs.
    float
        CPU time of all jobs in seconds.

    Raises
    ------
    JobError
        A job failed. All processes end then, as they do at a KeyboardInterrupt.
    """
    waiting = iter(range(len(jobs)))
    busy: dict[object, tuple[Worker, int]] = {}  # by their connections
    answers: dict[int, tuple[list[Row], float]] = {}

    def start_next(worker: Worker) -> None:
        if (number := next(waiting, None)) is not None:
            worker.start(measure, *jobs[number])
            busy[worker.jobs] = worker, number

    with ExitStack() as stopping:
        for _ in range(min(workers, len(jobs))):
            worker = Worker()
            stopping.callback(worker.stop)
            start_next(worker)
        while busy:
            for connection in wait([worker.jobs for worker, _ in busy.values()]):
                worker, number = busy.pop(connection)
                try:
                    answers[number] = worker.finish()
                except JobError as error:
                    case, seed = jobs[number]
                    raise JobError(f"{dict(case)}, seed {seed}: {error}") from None
                start_next(worker)
                if done is not None:
                    done(len(answers), len(jobs))
    ordered = [answers[number] for number in range(len(jobs))]
    return [rows for rows, _ in ordered], sum(seconds for _, seconds in ordered)
