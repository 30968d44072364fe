"""The pinned words: every dimension, coordinate and unit is spelled once, here.

The glossary of the documentation is generated from `GLOSSARY`.
"""

from __future__ import annotations

from typing import NamedTuple

PRESENTATION = "presentation"
NEUROID = "neuroid"
TIME_BIN = "time_bin"
ASSEMBLY_DIMS = (PRESENTATION, NEUROID, TIME_BIN)

STIMULUS_ID = "stimulus_id"
REPETITION = "repetition"
NEUROID_ID = "neuroid_id"
REGION = "region"
SUBREGION = "subregion"
SUBJECT = "subject"
LAYER = "layer"
TIME_BIN_START = "time_bin_start"
TIME_BIN_END = "time_bin_end"

SPLIT = "split"
HALVING = "halving"

# What a recording must carry, by dimension; activations carry LAYER in place of REGION.
REQUIRED_COORDS = {
    PRESENTATION: (STIMULUS_ID,),
    NEUROID: (NEUROID_ID, SUBJECT),
    TIME_BIN: (TIME_BIN_START, TIME_BIN_END),
}

# attrs of an assembly and of a score
SIMULATED = "simulated"  # 0 or 1 (netCDF has no boolean)
DATASET = "dataset"
BASIS = "basis"  # of activations reduced to their inner products: SHARED by all bins, or PER_BIN
SHARED, PER_BIN = "shared", "per-bin"
CORRELATION = "correlation"  # the basis of patterns centred and scaled over units, bin by bin


class Term(NamedTuple):
    """One entry of the glossary."""

    kind: str
    meaning: str


GLOSSARY: dict[str, Term] = {
    PRESENTATION: Term(
        "dimension",
        "one showing of one stimulus to one subject; after `average_repetitions`, one per stimulus",
    ),
    STIMULUS_ID: Term(
        "coordinate on presentation, string",
        "what was shown; the key of every alignment and the unit of every split",
    ),
    REPETITION: Term(
        "coordinate on presentation, integer",
        "ordinal of the showing; needed for consistency, gone after averaging",
    ),
    NEUROID: Term("dimension", "one recorded unit: neuron, multi-unit site or model unit"),
    NEUROID_ID: Term("coordinate on neuroid, string", "unique name of the unit"),
    REGION: Term("coordinate on neuroid, string", "cortical area: 'V4', 'IT', ... (recordings)"),
    SUBREGION: Term("coordinate on neuroid, string, optional", "finer area inside the region: 'pIT', 'aIT', ..."),
    SUBJECT: Term("coordinate on neuroid, string", "who was recorded: an animal or a model"),
    LAYER: Term("coordinate on neuroid, string", "stage of a model that the unit belongs to (models only)"),
    TIME_BIN: Term(
        "dimension",
        "half-open interval [time_bin_start, time_bin_end) in integer milliseconds from stimulus onset; always "
        "present, even with one bin",
    ),
    "time_step": Term("model side", "index of an unrolled step; becomes milliseconds only in `assembly.time_bins`"),
    "assembly": Term(
        "xarray.DataArray",
        "dimensions exactly (presentation, neuroid, time_bin), flat coordinates; a *recording* (animal) or "
        "*activations* (model)",
    ),
    "subject (of a study)": Term("protocol", "whoever is recorded, animal or model; `record` yields an assembly"),
    "mapping": Term("estimator", "predicts one subject's neuroids from another's on stimuli that it has not seen"),
    "internal consistency": Term(
        "per neuroid x bin",
        "split-half correlation over repetitions, Spearman-Brown corrected",
    ),
    "mapping consistency": Term(
        "per neuroid x bin",
        "the same for the mapping's predictions when it is fitted to each half of the repetitions",
    ),
    "ceiling": Term(
        "per neuroid x bin",
        "what a perfect mapping could reach; a named function of internal consistency (its square root for r)",
    ),
    "predictivity": Term(
        "per split x neuroid x bin",
        "Pearson r of held-out prediction and recording; the corrected one is always called *noise-corrected*",
    ),
    "formula": Term("name", "which noise correction turned raw into corrected predictivity; see `scoring.ceiling`"),
    "benchmark": Term(
        "frozen specification",
        "dataset + region + bins + splitter + mapping + correction + aggregation + version",
    ),
    "score": Term(
        "xarray.Dataset",
        "variables `predictivity`, `internal_consistency`, `mapping_consistency`, `predictivity_corrected` and counts",
    ),
    "record": Term("JSON", "score summary + benchmark + subject + hashes + versions + git revision"),
    SIMULATED: Term("attribute", "1 where the responses come from neurofit's simulated ventral stream, never mixed"),
}
