"""The shell's completion: what is offered, and that the answer needs no heavy library."""

import os
import shutil
import subprocess
import sys

import pytest

from neurofit.cli import names
from neurofit.files.manifest import list_manifests
from neurofit.models.zoo import ZOO
from neurofit.scoring.benchmark import list_benchmarks
from neurofit.scoring.formulas import FORMULAS
from neurofit.subjects.generating import GeneratingSubject
from neurofit.subjects.library import list_subjects

CODE = """
import sys
sys.argv = ["neurofit"]
from neurofit.cli.main import main
try:
    main()
finally:
    heavy = [m for m in ('torch', 'matplotlib', 'xarray', 'pandas', 'sklearn', 'numpy') if m in sys.modules]
    print(heavy, file=sys.stderr)
"""


def offered(line, shell="bash"):
    """Return what a shell is told for a line whose last word is being typed."""
    words = line.split(" ")
    asked = {
        "bash": {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": line},
        "fish": {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        check=False, capture_output=True, text=True,
        env=os.environ | asked | {"_NEUROFIT_COMPLETE": f"complete_{shell}"},
    )  # fmt: skip
    assert done.stderr.strip() == "[]", done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "some"),
    [
        ("neurofit sc", {"score"}),
        ("neurofit score --model rgc_inter", {"rgc_intermediate", "rgc_intermediate_tmaxconf"}),
        ("neurofit score --model rgc --layer conv", {"conv1", "conv5"}),
        ("neurofit data fetch cowley2023-v4-20", {"cowley2023-v4-201016"}),
        ("neurofit search run ", {"proxy", "intermediate128"}),
    ],
)
def test_bash_is_offered_names(line, some):
    found = offered(line)
    assert some <= set(found)
    assert all(word.startswith(line.split(" ")[-1]) for word in found)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_offered_them_too(shell):
    found = offered("neurofit score --benchmark sim-", shell)
    assert any("sim-it" in word for word in found)
    assert any("sim-v4" in word for word in found)


def test_what_is_no_name_is_left_to_the_shell_which_offers_files():
    assert offered("neurofit score --model nets/mi") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell_is_shown(shell):
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=os.environ | {"_NEUROFIT_COMPLETE": f"source_{shell}"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "_NEUROFIT_COMPLETE" in done.stdout


def test_names_are_those_of_the_tables():
    assert list(names.LAYERS) == sorted(names.LAYERS, key=list(names.LAYERS).index)
    assert set(names.LAYERS) == set(list_subjects())
    for name, layers in names.LAYERS.items():
        if name in ZOO and ZOO[name].network is not None:
            assert layers == ZOO[name].network.layers, name
    assert names.LAYERS["sim_truth"] == GeneratingSubject().layers
    assert set(names.FORMULAS) == set(FORMULAS)
    assert names.datasets("") == list_manifests()
    assert set(names.benchmarks("")) == set(list_benchmarks())
    assert {"short", "long", "matched"} <= set(names.recipes(""))


def test_a_layer_is_offered_behind_the_model_that_is_compared():
    assert names.compared("rgc@conv4") == ["rgc@conv4"]
    assert "rgc" in names.compared("rg")
    assert names.compared("nobody@") == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_bash_itself_completes(tmp_path):
    """The script that `--show-completion` prints, in a shell that asks for the words of a line."""
    program = tmp_path / "neurofit"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m neurofit "$@"\n')
    program.chmod(0o755)
    script = f"""
export PATH={tmp_path}:$PATH
eval "$(_NEUROFIT_COMPLETE=source_bash neurofit)"
COMP_WORDS=(neurofit score --model ugrnn_inter)
COMP_CWORD=3
_neurofit_completion neurofit
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, check=True)
    assert "ugrnn_intermediate_t30" in done.stdout.split()
