"""Published accuracies of the zoo's networks, and of one standard network, against what they cost."""

from __future__ import annotations

from neurofit.errors import ConfigurationError
from neurofit.models.cost import deciding_cost
from neurofit.models.description import count_parameters
from neurofit.models.zoo import ZOO, ZooEntry
from neurofit.report.tradeoff import CostName, Point, Tradeoff, make_tradeoff

ELSEWHERE = (
    Point(
        "ResNet-34",
        21.8e6,
        73.1,
        72.1,
        74.1,
        source="Nayebi, Bear, Kubilius et al. 2018, figure 3C (digitised, within .01)",
    ),
)
"""Not of the zoo: parameters and accuracy alone are known of it, the latter to the error of reading a figure."""
README = "neuroailab/convrnns @ b76a44d, README"


def published_tradeoff(x: CostName) -> Tradeoff:
    """Return top-1 accuracies on ImageNet's validation images, as published, against cost.

    Multiply-accumulates are those of an answer in the presentation that a network was trained with: the steps that its
    decoder may look at. Networks that are not of the zoo are there for parameters alone.

    Parameters
    ----------
    x : str
        'parameters', 'units' or 'macs'.
    """
    points = [
        Point(name, _cost(entry, x), entry.top1, source=README) for name, entry in ZOO.items() if entry.top1 is not None
    ]
    left_out = [] if x == "parameters" else [f"{point.name} (its {x} are not published)" for point in ELSEWHERE]
    elsewhere = "; ResNet-34 as digitised from figure 3C of the 2018 paper, within 1 %" if x == "parameters" else ""
    data = (
        "Top-1 accuracy on ImageNet's validation images, as published by the authors of the networks "
        f"({README}){elsewhere}. Nothing was recomputed here but the costs."
    )
    return make_tradeoff(
        [*points, *(ELSEWHERE if x == "parameters" else ())],
        x,
        "top1",
        simulated=False,
        data=data,
        label="top-1 accuracy on ImageNet (%)",
        left_out=left_out,
    )


def _cost(entry: ZooEntry, x: CostName) -> float:
    if entry.network is None or entry.presentation is None:
        raise ConfigurationError(
            "a published network can be built and shown images", f"'{entry.summary}' cannot", "correct the zoo"
        )
    if x == "parameters":
        return count_parameters(entry.network)
    cost = deciding_cost(entry.network, entry.presentation)
    return cost.network_units if x == "units" else cost.macs
