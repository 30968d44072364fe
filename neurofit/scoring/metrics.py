"""Which question a benchmark asks of two populations, and with which choices: the `[metric]` table of its TOML file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal, NoReturn

from neurofit.errors import ConfigurationError
from neurofit.files.toml_schema import Rule
from neurofit.kernel.linear_decoder import PENALTY, Classifier
from neurofit.kernel.rdm import Comparison
from neurofit.kernel.routes import Basis

MetricKind = Literal["predictivity", "rsa", "decoding"]
RDMDistance = Literal["correlation", "euclidean"]
Repetitions = Literal["equal", "all"]
PREDICTIVITY: MetricKind = "predictivity"
MAX_STIMULI = 1000
"""Stimuli of which an RDM is made at most, where the benchmark says nothing: half a million pairs."""

_DEFAULTS: dict[MetricKind, dict[str, object]] = {
    "predictivity": {},
    "rsa": {
        "distance": "correlation",
        "comparison": "spearman",
        "repetitions": "equal",
        "max_stimuli": MAX_STIMULI,
        "random_state": 0,
    },
    "decoding": {"labels": "object_name", "classifier": "svm", "penalty": PENALTY, "random_state": 0},
}
_OPTIONS = tuple(dict.fromkeys(name for defaults in _DEFAULTS.values() for name in defaults))


@dataclass(frozen=True)
class MetricSpec:
    """What is compared; see docs/metrics.md.

    Parameters
    ----------
    kind : {'predictivity', 'rsa', 'decoding'}
        Held-out prediction of neuroids; likeness of RDMs; agreement of what is decoded of single images.
    distance : {'correlation', 'euclidean'}
        Of RDMs: 1 - Pearson's r over units (Kriegeskorte et al. 2008), by default, or the Euclidean distance.
    comparison : {'spearman', 'kendall', 'pearson'}
        Of two RDMs: Spearman's rho (ibid.) by default, Kendall's tau-a or Pearson's r.
    repetitions : {'equal', 'all'}
        Showings of every stimulus: as many as of the one with the fewest, by default; see `scoring.rsa.rsa`.
    max_stimuli : int
        Of more, this many are drawn at random; 1,000.
    labels : str
        Presentation coordinate that is decoded; 'object_name'.
    classifier : {'svm', 'logistic'}
        See `scoring.decoding.decode`; 'svm'.
    penalty : float
        C of the classifier.
    random_state : int
        Of the stimuli that are drawn, or of the classifier; 0.
    """

    kind: MetricKind = PREDICTIVITY
    distance: RDMDistance | None = None
    comparison: Comparison | None = None
    repetitions: Repetitions | None = None
    max_stimuli: Annotated[int, Rule("3 or more", lambda n: n >= 3)] | None = None
    labels: str | None = None
    classifier: Classifier | None = None
    penalty: Annotated[float, Rule("positive", lambda c: c > 0)] | None = None
    random_state: int | None = None

    def __post_init__(self) -> None:
        """Write defaults out, so that a record holds them; only those of the metric that is meant."""
        for name, default in _DEFAULTS[self.kind].items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, default)

    def cross_problems(self) -> Iterator[str]:
        """Yield what belongs to another metric."""
        for name in _OPTIONS:
            if name not in _DEFAULTS[self.kind] and getattr(self, name) is not None:
                yield f"{name} is not for kind '{self.kind}'"

    def options(self) -> dict[str, object]:
        """Return the choices of this metric."""
        return {name: getattr(self, name) for name in _DEFAULTS[self.kind]}

    def of_kind(self, kind: MetricKind | None) -> MetricSpec:
        """Return another metric with its defaults; itself if it is of this kind."""
        return self if kind in (None, self.kind) else MetricSpec(kind or PREDICTIVITY)

    def basis(self, of_mapping: Basis) -> Basis:
        """Return what features may be for the same score, where predictivity allows `of_mapping`."""
        if self.kind == "rsa":
            return "correlation" if self.distance == "correlation" else "per-bin"
        return "per-bin" if self.kind == "decoding" else of_mapping

    def check_options(self, **given: object) -> None:
        """Raise if options were given (other than None) that this metric does not use.

        Raises
        ------
        ConfigurationError
        """
        idle = {
            PREDICTIVITY: (),
            "rsa": ("regression", "mapping", "components", "splits"),
            "decoding": ("regression", "mapping", "components"),
        }[self.kind]
        found = [f"{name} '{given[name]}'" for name in idle if given.get(name) is not None]
        if self.kind != PREDICTIVITY and given.get("formula") not in (None, "raw"):
            found.append(f"formula '{given['formula']}'")
        if found:
            self.refuse(", ".join(found))

    def refuse(self, what: str) -> NoReturn:
        """Raise because of what only predictivity has.

        Raises
        ------
        ConfigurationError
        """
        raise ConfigurationError(
            "the options are those of the metric",
            f"'{self.kind}' fits no mapping to the neuroids, and has no {what}",
            "leave it out, or choose --metric predictivity",
        )
