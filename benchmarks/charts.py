"""Charts of the results: bars with their quartiles, and lines over what grows."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt

from benchmarks.machine import results
from benchmarks.measure import Spread

OURS = "second_look"
"""The contestant that is drawn in black."""


def bars(spreads: Mapping[str, Spread], title: str, name: str) -> Path:
    """``<name>.png``: each contestant's median in milliseconds, from the fastest, with its quartiles."""
    order = sorted(spreads, key=lambda contestant: spreads[contestant].median, reverse=True)
    medians = [spreads[contestant].median for contestant in order]
    reach = [
        [spreads[contestant].median - spreads[contestant].lower for contestant in order],
        [spreads[contestant].upper - spreads[contestant].median for contestant in order],
    ]
    figure, axis = plt.subplots(figsize=(8, 0.8 + 0.38 * len(order)))
    colours = ["black" if contestant.startswith(OURS) else "silver" for contestant in order]
    axis.barh(order, medians, xerr=reach, color=colours, ecolor="dimgrey")
    for place, median in enumerate(medians):
        axis.annotate(f" {median:.3g}", (reach[1][place] + median, place), va="center")
    axis.margins(x=0.12)
    axis.set(title=title, xlabel="milliseconds, median and quartiles")
    return _saved(figure, name)


def lines(
    series: Mapping[str, Sequence[tuple[float, float]]],
    x_label: str,
    y_label: str,
    name: str,
    log_x: bool = False,
    log_y: bool = False,
) -> Path:
    """``<name>.png``: a line a contestant, over what grows."""
    figure, axis = plt.subplots(figsize=(9.5, 4.5))
    for contestant, points in series.items():
        ours = {"color": "black", "linewidth": 2.5} if contestant.startswith(OURS) else {}
        axis.plot(*zip(*points, strict=True), "o-", label=contestant, **ours)
    axis.set(xlabel=x_label, ylabel=y_label)
    if log_x:
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter("{x:g}")
    if log_y:
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter("{x:g}")
    else:
        axis.set_ylim(bottom=0)
    axis.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    axis.grid(alpha=0.3)
    return _saved(figure, name)


def _saved(figure: plt.Figure, name: str) -> Path:
    path = results() / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    plt.close(figure)
    return path
