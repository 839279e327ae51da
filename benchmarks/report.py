"""Summary of a run: geometric means against the peers, by shape, and the gain of two threads."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import quoted
from peers import PEERS, PYTHON_PEERS
from results import Key, Row, geometric_mean

OURS = "bptt"
Table = dict[Key, dict[str, Row]]


def by_item(rows: Iterable[Row]) -> Table:
    table: Table = {}
    for row in rows:
        table.setdefault(row.key, {})[row.who] = row
    return {key: found for key, found in table.items() if OURS in found}


def quoted_ms(key: Key, found: dict[str, Row]) -> dict[str, float]:
    """Return the estimated milliseconds of quoted peers, by name."""
    job, cell, shape, dtype, threads = key
    if dtype != "float32" or threads != 1:
        return {}
    return {
        name: ratio * found[base].ms
        for name, base, ratio in quoted.ratios(job, cell, shape)
        if base in found
    }


def is_peer(who: str) -> bool:
    return who in PEERS and not PEERS[who].is_ours and "bfloat16" not in PEERS[who].variants


def best(found: dict[str, Row], names: Iterable[str] | None = None) -> float | None:
    """Return the shortest median of the peers that ran, or of those in `names`."""
    names = [name for name in found if is_peer(name)] if names is None else names
    times = [found[name].ms for name in names if name in found]
    return min(times, default=None)


def mean_line(label: str, table: Table, peer_ms: Callable[[Key, dict[str, Row]], float | None],
              who: str = OURS) -> str | None:  # fmt: skip
    """Return a line with the geometric mean of a peer's time over ours, over common items."""
    ratios = {}
    for key, found in table.items():
        theirs = peer_ms(key, found)
        if theirs is not None and who in found:
            ratios[key] = theirs / found[who].ms
    if not ratios:
        return None
    text = f"  {label:46} {geometric_mean(ratios.values()):6.2f}"
    small = [ratio for key, ratio in ratios.items() if key[2] != "large"]
    if small and len(small) < len(ratios):
        text += f"   without large {geometric_mean(small):6.2f}"
    lowest = min(ratios, key=lambda key: ratios[key])
    return (
        text + f"   least {ratios[lowest]:.2f} ({lowest[2]} {lowest[1]}; {len(ratios)} items,"
        f" {sum(r < 1 for r in ratios.values())} below 1)"
    )


def with_quoted(key: Key, found: dict[str, Row]) -> float | None:
    known = [ms for ms in [best(found), *quoted_ms(key, found).values()] if ms is not None]
    return min(known, default=None) if quoted_ms(key, found) else best(found)


def means(job: str, table: Table) -> list[str]:
    """Return the lines of all comparisons of a job."""
    lines = [
        mean_line("best peer of all", table, lambda _, found: best(found)),
        mean_line("best of all, including quoted ones", table, with_quoted),
        mean_line("best of the Python packages", table, lambda _, f: best(f, PYTHON_PEERS)),
    ]
    names = dict.fromkeys(name for found in table.values() for name in found)
    for name in names:
        if name != OURS:
            alone = " alone" if is_peer(name) else ""
            label = f"{PEERS[name].label if name in PEERS else name}{alone}"
            lines.append(mean_line(label, table, lambda _, f, name=name: best(f, [name])))
    for label, theirs in {"best peer of all": None, "torch in bfloat16": ["torch-bf16"]}.items():
        lines.append(
            mean_line(f"{label}, over ours in bfloat16", table,
                      lambda _, found, theirs=theirs: best(found, theirs), "bptt-bf16")
        )  # fmt: skip
    return [f"{job}: times over ours, geometric means", *(line for line in lines if line)]


def shapes(job: str, table: Table, of: str) -> list[str]:
    """Return lines with the percentages of each cell and the mean ratio, for each shape.

    The percentages are those of a rate of the core, `of` = "peak" or "tile".
    """
    rate = {"peak": "the FMA peak", "tile": "the tile rate"}[of]
    lines = [f"{job}: percent of {rate} (best peer's), and best peer's time over ours"]
    for shape in dict.fromkeys(key[2] for key in table):
        cells, ratios = [], []
        for key, found in table.items():
            if key[2] != shape:
                continue
            theirs, ours = best(found), found[OURS]
            percent = getattr(ours, f"percent_of_{of}")
            text = f"{key[1]} {percent:3.0f}"
            if theirs is not None:
                text += f" ({percent * ours.ms / theirs:3.0f})"
                ratios.append(theirs / ours.ms)
            cells.append(text)
        mean = f"   {geometric_mean(ratios):6.2f}" if ratios else ""
        lines.append(f"  {shape:8} {'   '.join(cells)}{mean}")
    return lines


def two_threads(job: str, table: Table) -> list[str]:
    """Return lines that compare ours on one thread, ours on all and the best peer on all."""
    table = {key: found for key, found in table.items() if "bptt-1" in found}
    if not table:
        return []
    lines = [f"{job}: several threads; time on 1 over time on all, best peer's time over ours"]
    gains, ratios = [], []
    for key, found in table.items():
        gain = found["bptt-1"].ms / found[OURS].ms
        gains.append(gain)
        theirs = best(found)
        text = f"  {key[2]:8} {key[1]:5} {found['bptt-1'].ms:9.4g} -> {found[OURS].ms:9.4g} ms "
        text += f"x{gain:.2f}"
        if theirs is not None:
            ratios.append(theirs / found[OURS].ms)
            text += f"   best peer {theirs:9.4g} ms x{ratios[-1]:.2f}"
        lines.append(text)
    text = f"  geometric means: x{geometric_mean(gains):.2f}"
    if ratios:
        text += f", best peer x{geometric_mean(ratios):.2f}"
    return [*lines, text]


def text(rows: list[Row], header: dict[str, str], with_peers: bool) -> str:
    """Return the whole summary; without peers, only the comparisons of ours with ours."""
    table = by_item(rows)
    lines = [f"{name}: {value}" for name, value in header.items()]
    strongest = [
        "onednn" in found for key, found in table.items() if key[0] not in ("lm", "minchar")
    ]
    if with_peers and not all(strongest):
        lines.insert(0, "INCOMPLETE: oneDNN, the strongest peer, is not in this table")
    for job in dict.fromkeys(key[0] for key in table):
        part = {key: found for key, found in table.items() if key[0] == job}
        lines += ["", *means(job, part)]
        if job not in ("lm", "minchar"):
            lines += ["", *shapes(job, part, "peak")]
            if not any(math.isnan(found[OURS].percent_of_tile) for found in part.values()):
                lines += ["", *shapes(job, part, "tile")]
        else:
            lines += ["", *rates(job, part)]
        several = two_threads(job, part)
        lines += ["", *several] if several else []
    if any(quoted_ms(key, found) for key, found in table.items()):
        lines += ["", quoted.SOURCE]
    return "\n".join(lines)


def rates(job: str, table: Table) -> list[str]:
    """Return lines with the updates per second of each peer."""
    lines = [f"{job}: updates per second"]
    for key, found in table.items():
        speeds = (f"{who} {1e3 / row.ms:.4g}" for who, row in found.items())
        lines.append(f"  {key[2]:8} {key[1]:5} {', '.join(speeds)}")
    return lines
