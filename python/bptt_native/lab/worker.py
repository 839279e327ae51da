"""The program of a worker process: measure one job after another.

`serve` receives (measure, case, seed) over a connection until that is closed, and sends back
the rows and the CPU time of each job, or the traceback of its failure.
"""

import pickle
import signal
import time
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection

from ..runtime.settings import set_num_threads


def serve(descriptor: int) -> None:
    """Measure the jobs that arrive on a connection until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process handles an interruption
    set_num_threads(1)
    with Connection(descriptor) as jobs, suppress(EOFError, ConnectionError):
        while True:
            jobs.send(_answer(jobs.recv_bytes()))


def _answer(job: bytes) -> tuple[list[dict[str, object]], float] | str:
    """Return the rows and the CPU time of a pickled job, or the traceback of its failure."""
    try:
        measure, case, seed = pickle.loads(job)
        start = time.process_time()
        rows = [dict(row) for row in measure(case, seed)]
        return rows, time.process_time() - start
    except Exception:
        return traceback.format_exc()
