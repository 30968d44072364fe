"""What of neurofit reads the studies of a search: Optuna's journals and databases."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import numpy as np
import text_mutations as change


def study_seeds(folder: Path) -> list[Path]:
    """A study of two trials in a journal, and in SQLite."""
    from neurofit.files.toml_schema import parse_table
    from neurofit.training.recipe import load_recipe
    from neurofit.training.search import work
    from neurofit.training.search_space import SearchSpace
    from neurofit.training.search_study import StudySpec, attach, storage_url

    space = parse_table(SPACE, SearchSpace, source="tiny", what="search space")
    spec = StudySpec(space=space, recipe=load_recipe("port"), data={"sha256": "0"}, sampler="random")
    paths = []
    for kind in ("journal", "db"):
        paths.append(folder / f"study.{kind}")
        study = attach(storage_url(paths[-1], make=True), "a", spec)
        work(study, spec, lambda candidate, seed, after_epoch: {"top1": 0.5, "parameters": 9.0, "macs": 9.0}, 2)
        with contextlib.suppress(AttributeError):
            study._storage._backend.engine.dispose()
    return paths


SPACE = {
    "name": "tiny", "input_px": 16, "classes": 3, "steps": {"low": 4, "high": 9},
    "stages": [{"channels": {"low": 2, "high": 8}}, {"channels": 4}],
    "cell": {"cell_channels": {"choices": [2, 4]}, "init_scale": {"low": 0.5, "high": 2.0}},
}  # fmt: skip


TABLES = (
    "study_user_attributes", "trials", "trial_values", "trial_params", "trial_user_attributes", "studies",
    "version_info",
)  # fmt: skip


def study_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    """Change a journal line by line, and a database by its cells or its bytes."""
    if not content.startswith(b"SQLite"):
        rows = content.split(b"\n")
        one = int(rng.integers(max(len(rows) - 1, 1)))
        if rng.integers(4) and rows[one]:
            rows[one] = change.json_file(rows[one], rng)
            return b"\n".join(rows)
        return change.lines(content, rng)
    if rng.integers(3) == 0:
        return change.raw(content, rng)
    database = sqlite3.connect(":memory:")
    database.deserialize(content)
    table = TABLES[rng.integers(len(TABLES))]
    columns = [row[1] for row in database.execute(f"pragma table_info({table})")]
    value = change.hostile(rng)
    value = (
        value
        if isinstance(value, int | float | str) and not (isinstance(value, int) and abs(value) >= 2**63)
        else str(value)
    )
    value = value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
    with contextlib.suppress(sqlite3.Error):
        database.execute(f"update {table} set {columns[rng.integers(len(columns))]} = ?", (value,))
        database.commit()
    made = database.serialize()
    database.close()
    return made


def read_study(path: Path) -> object:
    from neurofit.training.search_results import candidate_of, count_outcomes, pareto_front, trial_rows
    from neurofit.training.search_study import open_study

    study, spec = open_study(path)
    rows = trial_rows(study)
    front = pareto_front(rows, spec)
    return count_outcomes(rows), [candidate_of(row, spec) for row in front]
