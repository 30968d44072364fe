"""What a subject's network costs in a benchmark's presentation, for its record."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from neurofit.models.cost import Cost, configured_cost, network_cost
from neurofit.models.network import ConvRNN
from neurofit.models.presentation import Presentation
from neurofit.subjects.model_subject import ModelSubject
from neurofit.subjects.subject import Subject
from neurofit.subjects.viewing import MID_GREY, Viewing


def subject_cost(subject: Subject, viewing: Viewing) -> Cost | None:
    """Return what a subject's network costs; None for subjects that have none, such as recordings.

    Our own networks are counted without being run; any other is run on three grey images.

    Parameters
    ----------
    subject : Subject
    viewing : Viewing
        Of the benchmark.
    """
    if not isinstance(subject, ModelSubject):
        return None
    on, total = viewing.steps(subject.step_ms)
    if isinstance(subject.network, ConvRNN):
        return configured_cost(subject.network.config, Presentation(total, on), subject.layers)
    grey = np.full((8, 8, 3), MID_GREY, np.uint8)
    with subject.execution.running(subject.device):
        return network_cost(
            subject.network, lambda images: subject.frames([grey] * images, viewing), subject.layers, on
        )


def describe_cost(subject: Subject, viewing: Viewing) -> dict[str, int]:
    """Return `subject_cost` for a record, empty for subjects without a network."""
    cost = subject_cost(subject, viewing)
    return {} if cost is None else asdict(cost)
