"""Notebooks run from top to bottom; the numbers that they rest on are asserted in them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))

# in a process of its own: the kernel is reached by sockets, which tests are not allowed
RUN = """
import sys, nbformat, nbclient
notebook = nbformat.read(sys.argv[1], 4)
nbclient.NotebookClient(notebook, timeout=1500, kernel_name="python3").execute()
"""


def test_there_are_notebooks():
    assert {path.stem for path in NOTEBOOKS} == {
        "leaderboard",
        "papers-figures",
        "recurrent-against-feedforward",
        "your-own-network",
        "your-own-recordings",
    }


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_says_what_it_is(path):
    cells = json.loads(path.read_text())["cells"]
    text = {kind: ["".join(c["source"]) for c in cells if c["cell_type"] == kind] for kind in ("markdown", "code")}
    assert "**SIMULATED**" in text["markdown"][0] and "offline" in text["markdown"][0]
    assert "assert " in text["code"][-1]
    assert cells[-1]["cell_type"] == "markdown" and "neurofit " in text["markdown"][-1]  # with real data
    # executed where they are shown and tested: what is stored would go stale
    assert not any(c.get("outputs") or c.get("execution_count") for c in cells)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path):
    done = subprocess.run([sys.executable, "-c", RUN, path], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
