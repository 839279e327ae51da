"""The figure of fixed points: its contents, read back, and what it refuses."""

import numpy as np
import pytest

import bptt_native as bn
from bptt_native import diagnostics

pytest.importorskip("matplotlib")

from bptt_native import plots
from helpers.figures import faults


def plane(W=((3.0, 0.0, 0.0), (0.0, 3.0, 0.0), (0.0, 0.0, 0.5)), **options):
    """Return a net of independent units, two of which have two memories, and its points."""
    net = bn.RNN(1, len(W), bias=False, dtype="float64", **options)
    net.load_state_dict({"weight_ih_l0": np.ones((len(W), 1)), "weight_hh_l0": W})
    starts = np.random.default_rng(0).uniform(-1, 1, (300, len(W)))
    return net, diagnostics.fixed_points(net, starts=starts)


def markers(ax):
    return {line.get_label(): line for line in ax.lines if line.get_linestyle() == "None"}


def segments(ax, colour):
    drawn = [line for line in ax.lines if line.get_linestyle() != "None"]
    return [line for line in drawn if line.get_color() == colour and len(line.get_xdata()) == 2]


def test_points_are_in_the_principal_components_of_the_trajectories():
    _, points = plane()
    rng = np.random.default_rng(1)
    paths = rng.standard_normal((40, 5, 3)) * (0.1, 5.0, 2.0) + (1.0, 2.0, 3.0)
    ax = plots.plot_fixed_points(points, paths)
    assert faults(ax.figure) == []
    stable = markers(ax)["stable point"]
    cloud = paths.reshape(-1, 3)
    _, sizes, axes = np.linalg.svd(cloud - cloud.mean(0), full_matrices=False)
    expected = (points.states[:4] - cloud.mean(0)) @ axes[:2].T
    np.testing.assert_allclose(np.abs(stable.get_xdata()), np.abs(expected[:, 0]), atol=1e-9)
    np.testing.assert_allclose(np.abs(stable.get_ydata()), np.abs(expected[:, 1]), atol=1e-9)
    share = sizes**2 / (sizes**2).sum()
    assert f"principal component 1 ({100 * share[0]:.0f} %" in ax.get_xlabel().replace("\n", " ")
    assert f"principal component 2 ({100 * share[1]:.0f} %" in ax.get_ylabel().replace("\n", " ")
    assert len([line for line in ax.lines if len(line.get_xdata()) == 40]) == 5
    third = plots.plot_fixed_points(points, paths, components=(1, 3))
    np.testing.assert_allclose(
        np.abs(markers(third)["stable point"].get_ydata()),
        np.abs((points.states[:4] - cloud.mean(0)) @ axes[2]),
        atol=1e-9,
    )


def test_kinds_and_unstable_directions():
    _, points = plane()
    assert points.verdict == "4 stable points, 5 saddles (4 with 1 unstable direction, 1 with 2)"
    ax = plots.plot_fixed_points(points)
    found = markers(ax)
    assert {name: len(line.get_xdata()) for name, line in found.items()} == {
        "stable point": 4, "saddle, 1 unstable direction": 4, "saddle, 2 unstable directions": 1
    }  # fmt: skip
    filled = {name: line.get_markerfacecolor() != "white" for name, line in found.items()}
    assert [name for name, full in filled.items() if full] == ["stable point"]
    one, two = (line for name, line in found.items() if name.startswith("saddle"))
    lines = segments(ax, one.get_color()), segments(ax, two.get_color())
    assert tuple(map(len, lines)) == (4, 2)
    lengths = []
    for line in lines[0]:  # each is centred on a saddle, and joins two stable points
        ends = np.column_stack([line.get_xdata(), line.get_ydata()])
        saddles = np.column_stack([one.get_xdata(), one.get_ydata()])
        assert np.abs(saddles - ends.mean(axis=0)).max(axis=1).min() < 1e-9
        lengths.append(np.linalg.norm(ends[1] - ends[0]))
        stable = np.column_stack(
            [found["stable point"].get_xdata(), found["stable point"].get_ydata()]
        )
        ahead = (stable - ends.mean(0)) @ (ends[1] - ends[0]) / lengths[-1]
        beside = np.linalg.norm(stable - ends.mean(0), axis=1) ** 2 - ahead**2
        assert (beside < 1e-9).sum() == 2
    assert np.ptp(lengths) < 1e-9, "all are within the plane"
    assert ax.get_title(loc="left") == "4 stable points, 5 saddles"
    bare = plots.plot_fixed_points(points, directions=False)
    assert not segments(bare, one.get_color())


def test_a_pair_of_complex_directions_spans_a_plane():
    turn = 1.5 * np.array([[np.cos(1), -np.sin(1)], [np.sin(1), np.cos(1)]])
    net = bn.RNN(1, 2, bias=False, dtype="float64")
    net.load_state_dict({"weight_ih_l0": [[0.0], [0.0]], "weight_hh_l0": turn})
    points = diagnostics.fixed_points(net, starts=[[0.01, 0.0]])
    assert points.kinds == ["repeller"]
    ax = plots.plot_fixed_points(points, np.random.default_rng(0).standard_normal((9, 2)))
    (point,) = markers(ax).values()
    assert point.get_label() == "repeller, 2 unstable directions"
    vectors = np.array([np.ptp(line.get_xydata(), axis=0) for line in
                        segments(ax, point.get_color())])  # fmt: skip
    assert len(vectors) == 2


@pytest.mark.parametrize("cell", [bn.LSTM, bn.GRU])
def test_trajectories_are_tapes_or_states(cell):
    net = cell(2, 5, seed=0)
    x = np.random.default_rng(0).standard_normal((12, 3, 2)).astype(np.float32)
    y, _, tape = net.forward(x, lengths=[12, 7, 9])
    points = diagnostics.fixed_points(net, starts=tape, count=20)
    by_tape = plots.plot_fixed_points(points, tape)
    shown = [np.isfinite(line.get_xdata()).sum() for line in by_tape.lines[:3]]
    assert shown == [12, 7, 9]
    by_states = plots.plot_fixed_points(points, y)
    assert len(by_states.lines[0].get_xdata()) == 12
    single = plots.plot_fixed_points(points, y[:, 0])
    assert sum(len(line.get_xdata()) == 12 for line in single.lines) == 1
    figure = plots.fixed_points_figure(points, tape)
    assert faults(figure) == []
    assert "step Jacobians" in figure.axes[1].get_title(loc="left")


def test_slow_points_are_marked():
    net = bn.RNN(1, 2, dtype="float64")
    net.load_state_dict(
        {"weight_ih_l0": np.zeros((2, 1)), "weight_hh_l0": np.diag([2.0, 0.5]),
         "bias_ih_l0": [-0.56, 0.0], "bias_hh_l0": [0.0, 0.0]}
    )  # fmt: skip
    points = diagnostics.fixed_points(net, starts=100, slow=1e-3)
    assert points.slow.tolist() == [False, True]
    ax = plots.plot_fixed_points(points)
    assert set(markers(ax)) == {"stable point", "slow point"}
    assert ax.get_title(loc="left") == "1 stable point, 1 slow point"


def test_refusals():
    _, points = plane()
    where = "plot_fixed_points: argument"
    with pytest.raises(TypeError, match=f"{where} 'points': expected the result of"):
        plots.plot_fixed_points(points.states)
    with pytest.raises(ValueError, match=f"{where} 'trajectories': expected states .T, N, 3."):
        plots.plot_fixed_points(points, np.zeros((5, 2, 4)))
    with pytest.raises(ValueError, match=f"{where} 'components': expected an integer from 1 to 3"):
        plots.plot_fixed_points(points, components=(1, 4))
    single = bn.RNN(1, 1)
    found = diagnostics.fixed_points(single, starts=4)
    with pytest.raises(ValueError, match=f"{where} 'points': expected two units or more"):
        plots.plot_fixed_points(found)
