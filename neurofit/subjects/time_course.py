"""What subjects do in time: those without dynamics of their own as a static mode says, all others as they do.

Without dynamics are feed-forward networks of the zoo (no cell with memory, no feedback), 'pixels', and the static
networks of others (`neurofit.models.static.StaticCourse`). docs/adr/0014-static-modes-on-any-benchmark.md says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import cast

from neurofit.errors import ConfigurationError, listed
from neurofit.models.network import ConvRNN
from neurofit.models.pixels import Pixels
from neurofit.models.static import Reader, StaticCourse
from neurofit.models.static_modes import ALL, OWN, SEQUENCE_MODES, STATIC_MODES, StaticMode
from neurofit.models.steady import SteadyResponse, own_dynamics
from neurofit.subjects.model_subject import ModelSubject
from neurofit.subjects.subject import RecordedSubject, Subject
from neurofit.subjects.viewing import Viewing

SEQUENCE_LATENCY_MS = 70
"""Where a sequence begins, by default: the 2022 paper lays layers out from 70 to 260 ms."""


@dataclass(frozen=True)
class TimeCourse:
    """What a subject does in time.

    Parameters
    ----------
    mode : str
        A static mode, or 'own'.
    text : str
        In words, with times in ms from stimulus onset.
    """

    mode: str
    text: str


def dynamics_of(subject: Subject) -> str | None:
    """Return what gives a subject dynamics of its own, in words; None where a static mode can lay it out."""
    if not isinstance(subject, ModelSubject):
        return "it was recorded" if isinstance(subject, RecordedSubject) else "its responses come with a time course"
    return None if isinstance(subject.network, StaticCourse) else own_dynamics(subject.network)


def in_static_mode(
    subject: Subject, mode: StaticMode, *, latency_ms: int | None = None, layers: Sequence[str] | None = None
) -> ModelSubject:
    """Return a subject without dynamics of its own, laid out in time as a static mode says.

    Parameters
    ----------
    subject : Subject
        It stays as it is.
    mode : str
        'constant', 'once', 'uniform' or 'graded'; `neurofit.models.static` defines them.
    latency_ms : int, optional
        When responses begin, from stimulus onset. By default: 'constant' at the first step; 'once' at the step in which
        the image reaches the layer in the biological unroll, so that it ends when the 2018 figure does (a network of
        others: as its maker chose); 'uniform' and 'graded' at 70 ms.
    layers : sequence of str, optional
        In 'uniform' and 'graded': the layers of the one sequence that can then be recorded, under their names joined by
        '+'. By default all but a readout, as 'all'; a network of others has the sequences that its maker chose.

    Raises
    ------
    ConfigurationError
        If the subject has dynamics of its own, the latency is not at a step, or the layers do not belong to the mode.
    UnknownNameError
        If there is no such mode or layer.
    """
    reason = dynamics_of(subject)
    if reason is not None or not isinstance(subject, ModelSubject):
        raise ConfigurationError(
            "a static mode lays out a network without dynamics of its own",
            f"'{subject.name}': {reason}",
            "score it as it is, without the mode, or choose a feed-forward network",
        )
    made = subject.network if isinstance(subject.network, StaticCourse) else None
    if made is not None and made.mode == mode and latency_ms is None and layers is None:
        return subject
    reader = made.reader if made is not None else SteadyResponse(cast(ConvRNN | Pixels, subject.network))
    kept = made.sequences if made is not None and mode in SEQUENCE_MODES and layers is None else {}
    sequences = kept or _sequences(reader, mode, layers)
    if latency_ms is not None:
        latency: int | Mapping[str, int] = _steps(subject, latency_ms)
    elif mode in SEQUENCE_MODES:
        latency = made.latency if made is not None and kept else _steps(subject, SEQUENCE_LATENCY_MS)
    else:
        latency = 0 if mode == "constant" else _arrivals(reader, made)
    course = StaticCourse(reader, mode=mode, latency=latency, sequences=sequences)
    laid_out = copy(subject)
    laid_out.network, laid_out._layers = course.eval(), course.layers
    before = {} if made is None else made.describe()
    laid_out.details = {k: v for k, v in subject.details.items() if k not in before} | course.describe()
    laid_out.region_layers = _region_layers(subject, course)
    return laid_out


def time_course(subject: Subject, layer: str, viewing: Viewing) -> TimeCourse:
    """Return what a subject does in time, in the recording of a layer.

    Parameters
    ----------
    subject : Subject
    layer : str
    viewing : Viewing
    """
    network = getattr(subject, "network", None)
    if not isinstance(subject, ModelSubject) or not isinstance(network, StaticCourse):
        return TimeCourse(OWN, f"{OWN}: {_own_words(subject)}")
    on, steps = viewing.steps(subject.step_ms)
    runs = [
        f"{member} {begin * subject.step_ms + subject.delay_ms}-{end * subject.step_ms + subject.delay_ms}"
        for member, begin, end in network.runs(layer, on, steps)
        if begin < end
    ]
    when = f"{listed(runs, 12)} ms" if runs else "nothing while it is recorded"
    return TimeCourse(network.mode, f"{network.mode}: {STATIC_MODES[network.mode]}; {when}")


def _own_words(subject: Subject) -> str:
    reason = dynamics_of(subject)
    network = getattr(subject, "network", None)
    if reason is not None:
        return reason
    if isinstance(network, ConvRNN):
        per_step = "one layer" if network.config.unroll == "biological" else "all layers"
        return f"feed-forward, {per_step} per step of {getattr(subject, 'step_ms', '?')} ms"
    return "the image while it is on, then the blank"


def _arrivals(reader: Reader, made: StaticCourse | None) -> int | Mapping[str, int]:
    """Return the steps in which an image reaches the layers; of a network of others, what its maker said."""
    if isinstance(reader, SteadyResponse):
        return reader.first_steps
    return made.latency if made is not None and not made.sequences else 0


def _steps(subject: ModelSubject, latency_ms: int) -> int:
    """Return the step that begins a time after the onset."""
    steps, rest = divmod(latency_ms - subject.delay_ms, subject.step_ms)
    if rest or steps < 0:
        first = f"from {subject.delay_ms} ms on" if subject.delay_ms else "from the onset on"
        raise ConfigurationError(
            "a response begins with one of the model's steps",
            f"a latency of {latency_ms} ms, and '{subject.name}' has steps of {subject.step_ms} ms {first}",
            f"give {subject.delay_ms} ms or multiples of {subject.step_ms} ms more",
        )
    return steps


def _sequences(reader: Reader, mode: StaticMode, layers: Sequence[str] | None) -> Mapping[str, Sequence[str]] | None:
    """Return the one sequence that can be recorded; None in modes that have none, and for the default of a course."""
    if layers is not None:
        return {"+".join(layers): tuple(layers)}
    if mode in SEQUENCE_MODES and isinstance(reader, SteadyResponse):
        return {ALL: reader.stages}
    return None


def _region_layers(subject: ModelSubject, course: StaticCourse) -> dict[str, str]:
    """Return what is compared with a region: a sequence where there is only one, or else what was before."""
    before = subject.region_layers
    if len(course.sequences) == 1:
        return dict.fromkeys(before, course.layers[0])
    return {region: layer for region, layer in before.items() if layer in course.layers}
