"""Writes down what a disturbed command computes: a line for every batch of features and every update of a training.

Python imports it at the start of every process that has this folder on PYTHONPATH, workers included. FAULTS_LOG names
the file; without it nothing is done.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import os
import sys


def _write(line: str) -> None:
    os.write(_log, f"{os.getpid()} {line}\n".encode())


def _note_batches(module) -> None:
    """Let a network's subject note every batch that it begins to compute."""
    stream = module.ModelSubject.stream

    def noted(subject, stimuli, layers, *arguments, **options):
        if len(stimuli.ids) > 1:  # one grey image tells how many units there are
            _write("/".join((subject.name, *layers, str(stimuli.ids[0]))))
        return stream(subject, stimuli, layers, *arguments, **options)

    module.ModelSubject.stream = noted


def _note_updates(module) -> None:
    """Let a learner note every update."""
    step = module.Learner.step

    def noted(learner, *arguments):
        _write("update")
        return step(learner, *arguments)

    module.Learner.step = noted


NOTED = {"neurofit.subjects.model_subject": _note_batches, "neurofit.training.learner": _note_updates}


class _Noting(importlib.abc.MetaPathFinder):
    """Changes modules when they are imported."""

    def find_spec(self, name, path=None, target=None):
        """Find a module as usual, and change what it defines."""
        if name not in NOTED:
            return None
        note = NOTED.pop(name)  # found as usual the next time
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def loaded(module) -> None:
            load(module)
            note(module)

        spec.loader.exec_module = loaded
        return spec


if os.environ.get("FAULTS_LOG"):
    _log = os.open(os.environ["FAULTS_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for _name in [name for name in NOTED if name in sys.modules]:
        NOTED.pop(_name)(sys.modules[_name])
    sys.meta_path.insert(0, _Noting())
