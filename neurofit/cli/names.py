"""What can be typed as a value, for the shell's completion: names alone, without the libraries that give them meaning.

A shell waits for the answer while somebody types, so that nothing here imports torch, NumPy or xarray. Names that are
files are listed from their folders; those of the models, which are tables in code, are written down again, and a test
holds both to be the same.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import typer

import neurofit
from neurofit.files.manifest import list_manifests
from neurofit.files.resources import list_resources

_PACKAGE = Path(neurofit.__file__).parent

CHAINS: dict[int, tuple[str, ...]] = {
    5: (
        "rgc", "ff", "rgc_untrained", "rgc_feedback_untrained", "ff_untrained", "timedecay_untrained",
        "simplernn_untrained", "gru_untrained", "lstm_untrained", "ugrnn_untrained", "intersectionrnn_untrained",
        "ff_wider_untrained", "timedecay_shallow", "simplernn_shallow", "gru_shallow", "lstm_shallow",
        "intersectionrnn_shallow", "ugrnn_shallow", "rgc_shallow", "ff_shallow", "ff_shallow_wider", "rgc_shallow_128",
        "lstm_shallow_128", "ff_shallow_128", "ff_matched", "ff_wider_matched", "timedecay_matched",
        "simplernn_matched", "gru_matched", "lstm_matched", "ugrnn_matched", "intersectionrnn_matched", "rgc_matched",
        "rgc_feedback_matched",
    ),
    10: (
        "timedecay_intermediate", "simplernn_intermediate", "gru_intermediate", "lstm_intermediate",
        "intersectionrnn_intermediate", "ugrnn_intermediate", "ugrnn_intermediate_t30",
        "ugrnn_intermediate_t30_dthresh", "ugrnn_intermediate_t30_tmaxconf", "rgc_intermediate",
        "rgc_intermediate_dthresh", "rgc_intermediate_tmaxconf", "rgc_intermediate_t22_tmaxconf", "ff_intermediate",
        "ff_intermediate_wider", "rgc_intermediate_t12",
    ),
    19: ("ff_deeper_untrained", "ff_shallow_deeper", "ff_deeper_matched"),
    20: ("ff_intermediate_deeper",),
}  # fmt: skip
"""Models of the zoo by the number of their stages conv1, conv2 ..., before the readout."""

LAYERS: dict[str, tuple[str, ...]] = {
    **{
        name: (*(f"conv{i}" for i in range(1, n + 1)), "logits") for n, names in CHAINS.items() for name in names
    },
    "pixels": ("pixels",),
    "sim_truth": ("energies", "V4", "IT"),
}  # fmt: skip
"""Layers of every model that has a name, in order."""

REGIONS = ("V4", "IT", "pIT", "aIT")
FORMULAS = ("raw", "both", "neural", "both-squared", "brain-score", "brain-score-2019", "brain-score-2018")
DEVICES = ("cpu", "cuda", "mps", "auto")

Completion = Callable[[str], list[str]]


def _starting(names: Callable[[], list[str]]) -> Completion:
    """Return what offers the names that start as the word that is being typed.

    Nothing is offered where none does, and the shell offers files.
    """

    def offered(incomplete: str) -> list[str]:
        return [name for name in names() if name.startswith(incomplete)]

    return offered


def _benchmarks() -> list[str]:
    return [path.stem for path in list_resources("benchmarks")]


def _released() -> list[str]:
    """Models whose authors released weights, by the manifests of these."""
    prefix = "convrnn-"  # as in neurofit.models.released_store
    return [name.removeprefix(prefix).replace("-", "_") for name in list_manifests() if name.startswith(prefix)]


def _of_training(folder: str) -> Callable[[], list[str]]:
    return lambda: sorted(path.stem for path in (_PACKAGE / "training" / folder).glob("*.toml"))


models = _starting(lambda: list(LAYERS))
networks = _starting(lambda: [name for name in LAYERS if name not in ("pixels", "sim_truth")])
released = _starting(_released)
benchmarks = _starting(_benchmarks)
datasets = _starting(list_manifests)
recipes = _starting(_of_training("recipes"))
spaces = _starting(_of_training("searches"))
regions = _starting(lambda: list(REGIONS))
formulas = _starting(lambda: list(FORMULAS))
devices = _starting(lambda: list(DEVICES))
picks = _starting(lambda: ["best", "median", "random"])


def layers(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer the layers of the model that was typed before; of all models, where none was."""
    model = ctx.params.get("model")
    known = LAYERS.get(str(model), ()) if model else dict.fromkeys(name for all_ in LAYERS.values() for name in all_)
    return [name for name in known if name.startswith(incomplete)]


def compared(incomplete: str) -> list[str]:
    """Offer models and, behind an @, the layers of one."""
    model, at, layer = incomplete.partition("@")
    if not at:
        return models(incomplete)
    return [f"{model}@{name}" for name in LAYERS.get(model, ()) if name.startswith(layer)]
