"""The static mode of a benchmark, on whatever subject it is run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar, cast

import xarray as xr

from neurofit.models.static_modes import OWN
from neurofit.scoring.benchmark import Benchmark
from neurofit.subjects.subject import Subject

AnySubject = TypeVar("AnySubject", bound=Subject)

# Each function imports what loads torch when it is called: records and recordings do without.


def as_benchmarked(subject: AnySubject, benchmark: Benchmark, *, must: bool = False) -> AnySubject:
    """Return a subject laid out in time as a benchmark says; as it is, where it has dynamics of its own.

    A subject that is laid out so already stays so.

    Parameters
    ----------
    subject : Subject
    benchmark : Benchmark
    must : bool
        Refuse a subject with dynamics of its own: someone asked for this mode of this subject.

    Raises
    ------
    ConfigurationError, UnknownNameError
        See `neurofit.subjects.time_course.in_static_mode`.
    """
    static = benchmark.static
    if static.mode == "own":
        return subject
    from neurofit.subjects.time_course import dynamics_of, in_static_mode

    if not must and dynamics_of(subject) is not None:
        return subject
    laid_out = in_static_mode(subject, static.mode, latency_ms=static.latency_ms, layers=static.layers)
    return cast(AnySubject, laid_out)


def telling_time_courses(
    recorded: Mapping[str, xr.DataArray], subject: Subject, benchmark: Benchmark
) -> dict[str, xr.DataArray]:
    """Return recordings of a subject's layers that say, in attrs, what the subject does in time.

    Parameters
    ----------
    recorded : mapping from layer to xarray.DataArray (presentation, neuroid, time_bin)
    subject : Subject
        As it was recorded.
    benchmark : Benchmark

    Returns
    -------
    dict from layer to xarray.DataArray
        With the attrs `static_mode` ('own' or a static mode) and `time_course` (in words).
    """
    from neurofit.subjects.time_course import time_course

    asked = benchmark.static.mode
    told: dict[str, xr.DataArray] = {}
    for layer, assembly in recorded.items():
        course = time_course(subject, layer, benchmark.viewing.viewing())
        ignored = asked != OWN and course.mode == OWN
        text = course.text + (f" (the benchmark's static mode '{asked}' is for subjects without)" if ignored else "")
        told[layer] = assembly.assign_attrs(static_mode=course.mode, time_course=text)
    return told
