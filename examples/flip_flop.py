"""The memories of a network that learnt the 3-bit flip-flop: fixed points and a picture.

    python examples/flip_flop.py [FILE.png]     # half a minute at most

The network reads pulses of three channels and keeps the sign of the last pulse of each. After
training, it has a stable fixed point for each of the eight memories, and saddles between them
(Sussillo & Barak 2013, Neural Computation 25). The picture needs matplotlib.
"""

import sys

import numpy as np

import bptt_native as bn
from bptt_native import diagnostics, plots, tasks


def train(hidden: int = 64, epochs: int = 24, sequences: int = 4096) -> bn.Model:
    """Return a model that was trained on the task."""
    model = bn.Model("gru", input_size=3, hidden_size=hidden, output_size=3, loss="mse", lr=5e-3,
                     clip_norm=1.0)  # fmt: skip
    x, y = tasks.flip_flop(64, sequences, np.random.default_rng(0))
    model.fit(x, y, epochs=epochs, batch_size=64, schedule="cosine")
    return model


def search(model: bn.Model) -> tuple[diagnostics.FixedPoints, bn.Tape]:
    """Return the fixed points without pulses, and trajectories with pulses."""
    x, y = tasks.flip_flop(128, 16, np.random.default_rng(1))
    out, _, tape = model.forward(x)
    print(f"{np.mean(out * y > 0):.2%} of the outputs have the right sign")
    return diagnostics.fixed_points(model, starts=tape), tape


def main(path: str = "flip_flop.png") -> None:
    """Train, search, and draw."""
    points, tape = search(train())
    print(points)
    assert points.outputs is not None
    memories = np.sign(points.outputs[points.stable & ~points.slow]).astype(int)
    print("signs of the outputs at the stable points:", *map(str, memories.tolist()))
    plots.save_figure(plots.fixed_points_figure(points, tape), path)
    print(f"drawn in {path}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
