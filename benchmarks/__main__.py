"""Benchmarks of recurrent training and inference against the installed peers.

    python benchmarks [options]     measure and print; with --save, write files
    python benchmarks compare A B   compare two folders of results
    python benchmarks guard         name what is slower than the kept results of this CPU
    python benchmarks draw          draw the charts of kept results again

Each peer is a separate process with its best settings on the same CPU (on two with --threads 2).
The peers take turns, after a warm-up. Results are medians with quartiles. A training step is a
forward pass, a backward pass with the gradients of weights, input and initial state, and clipping
by the global norm; the weights change from step to step. It counts as
3 * 2 * T * N * G * H * (I + H) operations per layer. The peak is the rate of multiply-adds in
registers, the tile rate that of the inner loop of a matrix product; both are measured in the run.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import compare
import peers
import programs
import report
import results
from items import GATES, JOBS, SHAPES
from run import Run, pin


def environment(text: str) -> tuple[str, Path]:
    try:
        return peers.prefix_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", nargs="+", default=["train"], choices=JOBS, metavar="JOB",
                        help=f"some of {', '.join(JOBS)}; default: train")  # fmt: skip
    parser.add_argument("--all", action="store_true", help="all jobs except train-fixed")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, metavar="SHAPE",
                        help=f"some of {', '.join(SHAPES)}; default: all of each job")  # fmt: skip
    parser.add_argument("--cells", nargs="+", default=list(GATES), choices=GATES)
    parser.add_argument("--peers", nargs="+", default=list(peers.DEFAULT), choices=peers.PEERS,
                        metavar="PEER", help=f"some of {', '.join(peers.PEERS)}")  # fmt: skip
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    parser.add_argument("--compute", choices=["bfloat16"],
                        help="also measure ours and torch in bfloat16")  # fmt: skip
    parser.add_argument("--threads", type=int, default=1,
                        help="with 2, ours is also measured on one thread")  # fmt: skip
    parser.add_argument("--isa", choices=programs.ISA_FLAGS, help="ours on this instruction set")
    parser.add_argument("--limit-peers", action="store_true",
                        help="with --isa: limit the peers to this instruction set too")  # fmt: skip
    parser.add_argument("--memory", default="kept", choices=["kept", "returned"],
                        help="kept: malloc keeps freed memory in all processes, the best setting "
                        "for most; returned: malloc's default behaviour")  # fmt: skip
    parser.add_argument("--scaling", action="store_true", help="only ours, on 2 threads and on 1")
    parser.add_argument(
        "--options", action="store_true",
        help="only ours: with lengths uniform in [T/2, T], unsorted and sorted, with two "
        "directions and in float64, against the plain layer",
    )  # fmt: skip
    parser.add_argument(
        "--diagnostics", action="store_true",
        help="connectivity and Lyapunov spectra, ours and torch, and the cost of flow=True",
    )  # fmt: skip
    parser.add_argument(
        "--fixed-points", action="store_true",
        help="the search for fixed points of a trained GRU, ours and torch",
    )  # fmt: skip
    parser.add_argument(
        "--phases", action="store_true",
        help="only ours: the phases of training steps and the least times of their products, as a "
        "table for docs/speed.md",
    )  # fmt: skip
    parser.add_argument("--budget", type=float, default=1.0, help="seconds for each peer and item")
    parser.add_argument("--rounds", type=int, default=10, help="turns of each peer, if time allows")
    parser.add_argument("--check", action="store_true", help="compare the peers' results with ours")
    parser.add_argument(
        "--env", action="append", type=environment, default=[], metavar="PEER=FOLDER",
        help="the virtual environment of a peer (onednn: with its headers), if it is not this one; "
        "or BPTT_BENCH_ENVS, a list separated by spaces",
    )  # fmt: skip
    parser.add_argument("--save", type=Path, nargs="?", const=True, metavar="FOLDER",
                        help="write CSV, summary and charts; default: results/CPU-ISA")  # fmt: skip
    options = parser.parse_args(given)
    options.env = {**peers.prefixes(), **dict(options.env)}
    if options.all:
        options.jobs = [job for job in JOBS if job != "train-fixed"]
    if options.scaling:
        options.threads, options.peers = max(2, options.threads), ["bptt"]
    return options


def chosen(options: argparse.Namespace) -> dict[str, peers.Peer]:
    """Return the peers that take part, ours first."""
    if options.options:
        return peers.OPTIONS
    names = ["bptt", *options.peers]
    if options.threads > 1:
        names.insert(1, "bptt-1")
    if options.compute:
        names += ["bptt-bf16", "bptt-model-bf16", "torch-bf16"]
    return {name: peers.PEERS[name] for name in dict.fromkeys(names)}


def save(run: Run, folder: Path, summary: str) -> None:
    stem = f"{run.options.dtype}-{run.options.threads}"
    results.write(folder / f"{stem}.csv", run.header(), run.rows)
    (folder / f"{stem}.txt").write_text(summary + "\n")
    missing = [name for name in ("matplotlib", "bptt_native") if not importlib.util.find_spec(name)]
    if missing:
        print(f"no charts, since {' and '.join(missing)} cannot be imported here")
        return
    import chart

    chart.draw_all(folder, stem, run.rows, run.header())
    print(f"saved in {folder}")


def main(given: list[str]) -> int:
    """Run the benchmarks, or compare results."""
    if given[:1] == ["compare"]:
        return compare.main(given[1:])
    if given[:1] == ["draw"]:
        import chart

        return chart.main(given[1:])
    if given[:1] == ["guard"]:
        import guard

        return guard.main(arguments([*guard.OPTIONS, *given[1:]]))
    options = arguments(given)
    pin(options.threads)
    if options.diagnostics:
        import diagnostics

        return diagnostics.run(options)
    if options.fixed_points:
        import fixed_points

        return fixed_points.run(options)
    if options.phases:
        import phases

        return phases.run(options)
    run = Run(options, chosen(options))
    try:
        run.measure()
    finally:
        run.close()
    if not run.rows:
        print("benchmarks: nothing was measured:", run.missing or "no job has such items")
        return 1
    summary = report.text(run.rows, run.header(), not (options.options or options.scaling))
    print(f"\n{summary}")
    if options.check:
        print("\nlargest difference of a result from ours, relative to its largest element:",
              ", ".join(f"{who} {error:.1e}" for who, error in run.worst.items()))  # fmt: skip
    if options.save:
        kept = results.folder_of(programs.cpu_name(), run.isa)
        save(run, kept if options.save is True else options.save, summary)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
