"""Neural-predictivity benchmarking of convolutional recurrent networks.

The public names below load on first use, so that ``import neurofit`` is quick and imports neither torch nor matplotlib.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from neurofit.assembly.build import assembly_from_table as assembly_from_table
    from neurofit.assembly.build import average_repetitions as average_repetitions
    from neurofit.assembly.build import make_assembly as make_assembly
    from neurofit.assembly.build import select_region as select_region
    from neurofit.assembly.schema import check_assembly as check_assembly
    from neurofit.assembly.spikes import bin_spikes as bin_spikes
    from neurofit.assembly.storage import load_assembly as load_assembly
    from neurofit.assembly.storage import save_assembly as save_assembly
    from neurofit.assembly.time_bins import make_time_bins as make_time_bins
    from neurofit.assembly.time_bins import rebin as rebin
    from neurofit.data.datasets import list_datasets as list_datasets
    from neurofit.data.datasets import load_dataset as load_dataset
    from neurofit.data.datasets import load_stimuli as load_stimuli
    from neurofit.data.stimuli import StimulusSet as StimulusSet
    from neurofit.data.stimuli import stimuli_from_folder as stimuli_from_folder
    from neurofit.errors import NeurofitError as NeurofitError
    from neurofit.mapping.estimators import PLSMapping as PLSMapping
    from neurofit.mapping.estimators import RidgeMapping as RidgeMapping
    from neurofit.mapping.splitters import StimulusShuffleSplit as StimulusShuffleSplit
    from neurofit.models.execution import Execution as Execution
    from neurofit.models.preprocessing import Preprocessing as Preprocessing
    from neurofit.models.repeated import RepeatedNetwork as RepeatedNetwork
    from neurofit.report.ceiling_figure import plot_ceilings as plot_ceilings
    from neurofit.report.comparison_figure import plot_comparison as plot_comparison
    from neurofit.report.figures import plot_time_course as plot_time_course
    from neurofit.report.health_figure import plot_health as plot_health
    from neurofit.report.leaderboard import leaderboard as leaderboard
    from neurofit.report.record import load_record as load_record
    from neurofit.report.record import make_record as make_record
    from neurofit.report.tradeoff import tradeoff_of_records as tradeoff_of_records
    from neurofit.report.tradeoff_figure import plot_tradeoff as plot_tradeoff
    from neurofit.scoring.benchmark import Benchmark as Benchmark
    from neurofit.scoring.benchmark import list_benchmarks as list_benchmarks
    from neurofit.scoring.benchmark import load_benchmark as load_benchmark
    from neurofit.scoring.ceiling import internal_consistency as internal_consistency
    from neurofit.scoring.commitment import Commitment as Commitment
    from neurofit.scoring.commitment import load_commitment as load_commitment
    from neurofit.scoring.committed import LayerScores as LayerScores
    from neurofit.scoring.committed import run_committed as run_committed
    from neurofit.scoring.committed import score_layers as score_layers
    from neurofit.scoring.compare import compare as compare
    from neurofit.scoring.decoding import decode as decode
    from neurofit.scoring.health import component_curve as component_curve
    from neurofit.scoring.health import learning_curve as learning_curve
    from neurofit.scoring.health_summary import diagnose_components as diagnose_components
    from neurofit.scoring.health_summary import diagnose_learning as diagnose_learning
    from neurofit.scoring.inter_animal import inter_animal_consistency as inter_animal_consistency
    from neurofit.scoring.inter_animal import run_inter_animal as run_inter_animal
    from neurofit.scoring.predictivity import predictivity as predictivity
    from neurofit.scoring.run import load_target as load_target
    from neurofit.scoring.run import run as run
    from neurofit.scoring.score import check_score as check_score
    from neurofit.scoring.selection import commit_layers as commit_layers
    from neurofit.scoring.solution_comparison import compare_solution_times as compare_solution_times
    from neurofit.scoring.solution_comparison import solution_times_of_model as solution_times_of_model
    from neurofit.scoring.solution_times import object_solution_times as object_solution_times
    from neurofit.scoring.solution_times import solution_time_consistency as solution_time_consistency
    from neurofit.scoring.storage import load_score as load_score
    from neurofit.scoring.storage import save_score as save_score
    from neurofit.scoring.summary import headline as headline
    from neurofit.scoring.summary import summarise as summarise
    from neurofit.subjects.features import FeatureOptions as FeatureOptions
    from neurofit.subjects.library import list_subjects as list_subjects
    from neurofit.subjects.library import load_subject as load_subject
    from neurofit.subjects.model_subject import ModelSubject as ModelSubject
    from neurofit.subjects.model_subject import check_model as check_model
    from neurofit.subjects.static import static_subject as static_subject
    from neurofit.subjects.subject import RecordedSubject as RecordedSubject
    from neurofit.subjects.third_party import timm_subject as timm_subject
    from neurofit.subjects.third_party import torchvision_subject as torchvision_subject
    from neurofit.subjects.viewing import Viewing as Viewing
    from neurofit.sweeps.cluster import ClusterSpec as ClusterSpec
    from neurofit.sweeps.cluster import DaskEngine as DaskEngine
    from neurofit.sweeps.cluster import load_cluster as load_cluster
    from neurofit.sweeps.specification import RunSettings as RunSettings
    from neurofit.sweeps.specification import SweepSpec as SweepSpec
    from neurofit.sweeps.specification import Variations as Variations
    from neurofit.sweeps.specification import load_sweep as load_sweep
    from neurofit.sweeps.sweep import InProcess as InProcess
    from neurofit.sweeps.sweep import SweepResult as SweepResult
    from neurofit.sweeps.sweep import run_sweep as run_sweep

# Public name -> module; a test holds this table and the imports above against each other.
_MODULES = {
    "assembly_from_table": "assembly.build",
    "average_repetitions": "assembly.build",
    "make_assembly": "assembly.build",
    "select_region": "assembly.build",
    "check_assembly": "assembly.schema",
    "bin_spikes": "assembly.spikes",
    "load_assembly": "assembly.storage",
    "save_assembly": "assembly.storage",
    "make_time_bins": "assembly.time_bins",
    "rebin": "assembly.time_bins",
    "list_datasets": "data.datasets",
    "load_dataset": "data.datasets",
    "load_stimuli": "data.datasets",
    "StimulusSet": "data.stimuli",
    "stimuli_from_folder": "data.stimuli",
    "NeurofitError": "errors",
    "PLSMapping": "mapping.estimators",
    "RidgeMapping": "mapping.estimators",
    "StimulusShuffleSplit": "mapping.splitters",
    "Execution": "models.execution",
    "Preprocessing": "models.preprocessing",
    "RepeatedNetwork": "models.repeated",
    "plot_ceilings": "report.ceiling_figure",
    "plot_comparison": "report.comparison_figure",
    "plot_time_course": "report.figures",
    "plot_health": "report.health_figure",
    "leaderboard": "report.leaderboard",
    "load_record": "report.record",
    "make_record": "report.record",
    "tradeoff_of_records": "report.tradeoff",
    "plot_tradeoff": "report.tradeoff_figure",
    "Benchmark": "scoring.benchmark",
    "list_benchmarks": "scoring.benchmark",
    "load_benchmark": "scoring.benchmark",
    "internal_consistency": "scoring.ceiling",
    "Commitment": "scoring.commitment",
    "load_commitment": "scoring.commitment",
    "LayerScores": "scoring.committed",
    "run_committed": "scoring.committed",
    "score_layers": "scoring.committed",
    "compare": "scoring.compare",
    "decode": "scoring.decoding",
    "component_curve": "scoring.health",
    "learning_curve": "scoring.health",
    "diagnose_components": "scoring.health_summary",
    "diagnose_learning": "scoring.health_summary",
    "inter_animal_consistency": "scoring.inter_animal",
    "run_inter_animal": "scoring.inter_animal",
    "predictivity": "scoring.predictivity",
    "load_target": "scoring.run",
    "run": "scoring.run",
    "check_score": "scoring.score",
    "commit_layers": "scoring.selection",
    "compare_solution_times": "scoring.solution_comparison",
    "solution_times_of_model": "scoring.solution_comparison",
    "object_solution_times": "scoring.solution_times",
    "solution_time_consistency": "scoring.solution_times",
    "load_score": "scoring.storage",
    "save_score": "scoring.storage",
    "headline": "scoring.summary",
    "summarise": "scoring.summary",
    "FeatureOptions": "subjects.features",
    "list_subjects": "subjects.library",
    "load_subject": "subjects.library",
    "ModelSubject": "subjects.model_subject",
    "check_model": "subjects.model_subject",
    "static_subject": "subjects.static",
    "RecordedSubject": "subjects.subject",
    "timm_subject": "subjects.third_party",
    "torchvision_subject": "subjects.third_party",
    "Viewing": "subjects.viewing",
    "ClusterSpec": "sweeps.cluster",
    "DaskEngine": "sweeps.cluster",
    "load_cluster": "sweeps.cluster",
    "RunSettings": "sweeps.specification",
    "SweepSpec": "sweeps.specification",
    "Variations": "sweeps.specification",
    "load_sweep": "sweeps.specification",
    "InProcess": "sweeps.sweep",
    "SweepResult": "sweeps.sweep",
    "run_sweep": "sweeps.sweep",
}

__all__ = ["__version__", *sorted(_MODULES)]  # noqa: PLE0604 - strings, all of them


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'neurofit' has no attribute '{name}'")
    value = getattr(import_module(f"neurofit.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
