"""What a candidate of a search is worth: a short training, and its size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neurofit.errors import ConfigurationError, DivergedError, listed
from neurofit.models.cost import deciding_cost
from neurofit.models.description import count_parameters
from neurofit.models.network import ConvRNN
from neurofit.models.preprocessing import Preprocessing
from neurofit.training.datasets import Task, open_task
from neurofit.training.engine import Engine
from neurofit.training.image_layouts import Listing
from neurofit.training.learner import Viewing
from neurofit.training.recipe import Recipe
from neurofit.training.search import AfterEpoch, NotTrainableError
from neurofit.training.search_space import Candidate, SearchSpace
from neurofit.training.train import Row, train

Predictivity = Callable[[ConvRNN, Candidate], float]


@dataclass(frozen=True)
class ShortTraining:
    """Measures a candidate: accuracy after the recipe's epochs, parameters, multiply-accumulates per answer.

    The paper's measure is top-1 on ImageNet after 5 epochs at 128 px (axis of its figure, specification 3.1).

    Parameters
    ----------
    task : Task
    recipe : Recipe
    engine : Engine
    predictivity : callable, optional
        From the trained network and its candidate to the predictivity of a benchmark.
    """

    task: Task
    recipe: Recipe
    engine: Engine
    predictivity: Predictivity | None = None

    def __call__(self, candidate: Candidate, seed: int, after_epoch: AfterEpoch) -> dict[str, float]:
        """Return what was measured; see `neurofit.training.search.Measure`."""
        network = ConvRNN(candidate.network, seed)
        viewing = Viewing(candidate.presentation, Preprocessing(candidate.network.input_px))

        def look(epoch: int, tested: torch.nn.Module, row: Row) -> Mapping[str, float]:
            after_epoch(epoch, row["top1"])
            return {}

        try:
            rows = train(
                network, self.task, candidate.recipe(self.recipe), None, viewing=viewing, seed=seed,
                engine=self.engine, after_epoch=[look], progress=False,
            )  # fmt: skip
        except DivergedError as error:
            raise NotTrainableError("the loss or its gradients did not stay finite") from error
        except torch.OutOfMemoryError as error:
            raise NotTrainableError("it needs more memory than the device has") from error
        measured = {
            "top1": rows[-1]["top1"],
            "training_loss": rows[-1]["training_loss"],
            "parameters": float(count_parameters(candidate.network)),
            "macs": float(deciding_cost(candidate.network, candidate.presentation).macs),
        }
        if self.predictivity is not None:
            measured["predictivity"] = self.predictivity(network, candidate)
        return measured


def search_task(data: Path, space: SearchSpace, **options: Any) -> Task:
    """Return the images that a space names: of its first classes, so many of each, at its size.

    Parameters
    ----------
    data : Path
        Folder or .tar of images; see `neurofit.training.datasets.open_task`.
    space : SearchSpace
    **options
        Of `open_task`; images are in memory.

    Raises
    ------
    DataFileError
        If there are no such images.
    ConfigurationError
        If they are of fewer classes.
    """

    def first(name: str, listing: Listing) -> Listing:
        return first_images(listing, space.classes, space.images_per_class if name == "training" else 0)

    return open_task(data, space.input_px, choose=first, **options)


def first_images(listing: Listing, classes: int, per_class: int = 0) -> Listing:
    """Return the part of a listing that has the first classes, and so many images of each; 0 is all.

    Raises
    ------
    ConfigurationError
        If it has fewer classes.
    """
    if len(listing.classes) < classes:
        raise ConfigurationError(
            f"images have the {classes} classes of the search space",
            f"there are {len(listing.classes)}: {listed(listing.classes)}",
            "name other data, or fewer classes in the space",
        )
    rows = np.concatenate([np.flatnonzero(listing.labels == label)[: per_class or None] for label in range(classes)])
    rows.sort()
    places = tuple(listing.places[row] for row in rows)
    return replace(listing, places=places, labels=listing.labels[rows], classes=listing.classes[:classes])
