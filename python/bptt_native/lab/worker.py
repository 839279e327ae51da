"""The other end of ``workers``: a process that measures one job after another.

It reads pickled (measure, case, seed) from its standard input until that ends, and writes for each
("rows", rows) or ("error", traceback) where its standard output was; what a job prints goes to the
standard error.
"""

import os
import pickle
import signal
import sys
import time
import traceback

from ..runtime.settings import set_num_threads


def main() -> None:
    """Measure until the standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interruption means
    set_num_threads(1)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    jobs = sys.stdin.buffer
    while True:
        try:
            measure, case, seed = pickle.load(jobs)
        except EOFError:
            return
        except Exception:
            answer: tuple[object, ...] = ("error", traceback.format_exc())
        else:
            start = time.process_time()
            try:
                rows = [dict(row) for row in measure(case, seed)]
                answer = ("rows", rows, time.process_time() - start)
            except Exception:
                answer = ("error", traceback.format_exc())
        try:
            pickle.dump(answer, answers)
            answers.flush()
        except BrokenPipeError:
            return
