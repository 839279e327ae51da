"""Jobs on all processors: a process per job, with one thread, whatever program started them.

The processes are new interpreters that share nothing with the caller's: no thread is forked, no
main module is imported again. They end with their standard input, so none outlives the caller.
"""

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from .experiment import Case, Row

Measure = Callable[[Case, int], Sequence[Row]]
PROGRAM = "from bptt_native.lab.worker import main; main()"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class JobError(RuntimeError):
    """A job of an experiment raised an exception, or its process ended."""


class Worker:
    """A process that measures."""

    def __init__(self) -> None:
        path = os.pathsep.join(folder or str(Path.cwd()) for folder in sys.path)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": path},
        )  # fmt: skip

    def _send(self, message: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(pickle.dumps(message))
        self._process.stdin.flush()

    def measure(self, function: Measure, case: Case, seed: int) -> tuple[list[Row], float]:
        """Give the rows of a job and its seconds of CPU time.

        Raises
        ------
        JobError
            The job failed, or its process ended.
        """
        assert self._process.stdout is not None
        try:
            self._send((function, case, seed))
            answer: tuple[Any, ...] = pickle.load(self._process.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            self.stop()
            raise JobError(f"its process ended with {self._process.wait()}") from None
        if answer[0] == "error":
            raise JobError(answer[1].strip())
        return answer[1], answer[2]

    def stop(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:  # what was not sent yet
                    continue
        self._process.wait()


def measure_all(
    measure: Measure, jobs: Sequence[tuple[Case, int]], workers: int,
    done: Callable[[int, int], None] | None = None,
) -> tuple[list[list[Row]], float]:  # fmt: skip
    """Measure all jobs.

    Parameters
    ----------
    measure : callable
        At the top of a module, so that another process finds it.
    jobs : sequence of (case, seed)
        They begin in this order.
    workers : int
        Processes side by side.
    done : callable (jobs done, jobs in all), optional
        Called after each.

    Returns
    -------
    rows : list of list of Row
        Of each job, in the order of the jobs.
    float
        Seconds of CPU time of all jobs.

    Raises
    ------
    JobError
        A job failed; the others are ended. So are all at a KeyboardInterrupt.
    """
    local, lock = threading.local(), threading.Lock()
    running: list[Worker] = []
    finished = 0
    ended = False

    def work(job: tuple[Case, int]) -> tuple[list[Row], float]:
        nonlocal finished
        if not hasattr(local, "worker"):
            with lock:
                if ended:
                    raise JobError("not begun")
                local.worker = Worker()
                running.append(local.worker)
        case, seed = job
        try:
            answer: tuple[list[Row], float] = local.worker.measure(measure, case, seed)
        except JobError as error:
            raise JobError(f"{dict(case)}, seed {seed}: {error}") from None
        with lock:
            finished += 1
            if done is not None and not ended:
                done(finished, len(jobs))
        return answer

    with ThreadPoolExecutor(min(workers, max(1, len(jobs)))) as pool:
        futures = [pool.submit(work, job) for job in jobs]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            failed = [f for f in futures if f.done() and f.exception() is not None]
            if failed:
                raise failed[0].exception() or AssertionError
            answers = [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()
            with lock:
                ended = True
                for worker in running:
                    worker.stop()
    return [rows for rows, _ in answers], sum(seconds for _, seconds in answers)
