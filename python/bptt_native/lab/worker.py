"""The program of a worker process: measure one job after another.

`serve` receives (measure, case, seed) over a connection until that is closed, and sends back
the rows and the CPU time of each job, or the traceback of its failure.
"""

import signal
import time
import traceback
from multiprocessing.connection import Connection

from ..runtime.settings import set_num_threads


def serve(descriptor: int) -> None:
    """Measure the jobs that arrive on a connection until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process handles an interruption
    set_num_threads(1)
    with Connection(descriptor) as jobs:
        while True:
            try:
                jobs.send(_answer(jobs))
            except (EOFError, ConnectionError):
                return


def _answer(jobs: Connection) -> tuple[list[dict[str, object]], float] | str:
    """Receive a job and return its rows and CPU time, or the traceback of its failure."""
    try:
        measure, case, seed = jobs.recv()
        start = time.process_time()
        rows = [dict(row) for row in measure(case, seed)]
        return rows, time.process_time() - start
    except (EOFError, ConnectionError):
        raise
    except Exception:
        return traceback.format_exc()
