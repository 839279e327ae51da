"""Worker process of a Python peer: `python serve.py MODULE [VARIANT ...]`.

It prints "ready VERSION" or "skip REASON" and then answers lines of its standard input:

setup ITEM DATA  Prepare an item; answer "ok" or "skip REASON". ITEM is `Item.words`, DATA a file
                 with `Item.flat`, which only workers in C read.
run n            Print n pairs of seconds and processor seconds, after an untimed run if n > 1.
result FILE      Write the result with the first weights as one raw vector; answer "ok".
quit             End.
"""

from __future__ import annotations

import gc
import importlib
import sys
import time
from collections.abc import Iterator

import numpy as np
from items import Item, Skip, Task


def timed(task: Task, count: int, repeats: int) -> Iterator[tuple[float, float]]:
    for k in range(count + (count > 1)):
        if task.change:
            task.change()
        cpu, start = time.process_time(), time.perf_counter()
        task.run()
        seconds = time.perf_counter() - start
        cpu = time.process_time() - cpu
        if k or count == 1:
            yield seconds / repeats, cpu / repeats


def main() -> None:
    """Answer the lines of the standard input."""
    try:
        peer = importlib.import_module(f"workers.{sys.argv[1]}")
        print("ready", peer.version(), flush=True)
    except (ImportError, Skip) as why:
        print("skip", str(why).replace("\n", " "), flush=True)
        return
    task = None
    for line in sys.stdin:
        command, *words = line.split()
        try:
            if command == "setup":
                task = None
                gc.collect()
                item = Item.from_words(words[:-1])
                task = peer.make(item, sys.argv[2:])
                print("ok", flush=True)
            elif command == "run":
                times = timed(task, int(words[0]), item.repeats)
                print(*(f"{wall:.4e}:{cpu:.4e}" for wall, cpu in times), flush=True)
            elif command == "result":
                flat = [np.asarray(a).ravel().astype(np.float64) for a in task.result()]
                np.concatenate(flat).tofile(words[0])
                print("ok", flush=True)
            else:
                return
        except Skip as why:
            print("skip", why, flush=True)


if __name__ == "__main__":
    main()
