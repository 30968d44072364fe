import sys

import pytest

from neurofit.errors import ConfigurationError, ModelContractError, UnknownNameError
from neurofit.subjects.library import load_subject
from neurofit.subjects.user_code import load_user_subject, running_user_code

GOOD = """
import torch
import neurofit as nf
from helper import LAYER


class Means(torch.nn.Module):
    def forward(self, frames, layers):
        return {LAYER: torch.stack([frame.mean((2, 3)) for frame in frames], 1)}


def subject():
    return nf.ModelSubject(Means(), name="means", layers=[LAYER], preprocessing=nf.Preprocessing(8), batch=7)


def number():
    return 3


def forgetful():
    return nf.ModelSubject(torch.nn.Identity(), name="means", layers=[LAYER], preprocessing=nf.Preprocessing(8))


def broken():
    raise KeyError("several\\nlines")


def left():
    raise SystemExit(0)


def wide():
    return torch.nn.Conv2d(4, 3, 3)(torch.zeros(1, 3, 8, 8))


a_table = {}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A user's folder, which is the current one, with two files in it."""
    (tmp_path / "mine.py").write_text(GOOD)
    (tmp_path / "helper.py").write_text('LAYER = "mean"\n')
    (tmp_path / "torn.py").write_text("import torch\nimport there_is_no_such_thing\n")
    (tmp_path / "torn_too.py").write_text("def subject(:\n")
    (tmp_path / "picky.py").write_text("raise ValueError('no weights')\n")
    (tmp_path / "script.py").write_text("import sys\nsys.exit()\n")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("mine", "helper", "torn", "torn_too", "picky", "script", "neurofit_user_mine"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", ["mine:subject", "mine.py:subject", "{folder}/mine.py:subject"])
def test_a_factory_is_found_by_module_or_file(folder, name):
    before = list(sys.path)
    subject = load_subject(name.format(folder=folder))
    assert (subject.name, subject.layers, subject.batch) == ("means", ("mean",), 7)
    assert sys.path == before


def test_options_are_the_factorys_unless_given(folder):
    subject = load_subject("mine:subject", batch=3, delay_ms=10, device="cpu")
    assert (subject.batch, subject.delay_ms, str(subject.device)) == (3, 10, "cpu")


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("yours.py:subject", ConfigurationError, "a model's file is there - yours.py is no file"),
        ("yours:subject", ConfigurationError, "there is no module 'yours'"),
        (":subject", ConfigurationError, "there is no module ''"),
        ("mine.py:subjekt", UnknownNameError, "factory in mine.py .* 'subjekt' is not known - use 'subject'"),
        ("mine.py:", UnknownNameError, "factory in mine.py .* '' is not known"),
        ("mine.py:a_table", ConfigurationError, "mine.py:a_table is dict"),
        ("mine.py:number", ModelContractError, "mine.py:number returned int - wrap the network"),
        ("mine.py:forgetful", ModelContractError, "forgetful raised TypeError: .*forward"),
        ("mine.py:broken", ModelContractError, r"broken raised KeyError: 'several\\nlines' \(mine.py, line 25\)"),
        ("torn:subject", ModelContractError, "raised ModuleNotFoundError: No module named 'there_is_no_such_thing'"),
        ("torn.py:subject", ModelContractError, r"raised ModuleNotFoundError: .* \(torn.py, line 2\)"),
        ("torn_too.py:subject", ModelContractError, r"raised SyntaxError: [^(]*\(torn_too.py, line 1\) - mend"),
        ("picky:subject", ModelContractError, r"raised ValueError: no weights \(picky.py, line 1\)"),
        ("script.py:subject", ModelContractError, r"raised SystemExit \(script.py, line 2\)"),
        ("mine.py:left", ModelContractError, r"raised SystemExit: 0 \(mine.py, line 29\)"),
        ("mine.py:wide", ModelContractError, r"raised RuntimeError: .* channels .* \(mine.py, line 33\)"),
        (".mine:subject", ConfigurationError, "there is no module '.mine'"),
        (f"{'long' * 99}.py:subject", ConfigurationError, "is no file"),
    ],
)
def test_what_is_wrong_is_told_in_one_sentence(folder, name, error, message):
    with pytest.raises(error, match=message) as caught:
        load_user_subject(name)
    assert "\n" not in str(caught.value)


def test_errors_that_are_not_the_users_pass(folder):
    for name in ("mine.py:subject", "rgc"):
        with pytest.raises(ZeroDivisionError), running_user_code(name):
            raise ZeroDivisionError


def test_a_subject_that_breaks_the_contract_is_told_before_it_is_recorded(folder):
    (folder / "mine.py").write_text(GOOD.replace(", 1)}", ", 0)}"))
    with pytest.raises(ModelContractError, match="stack the steps on axis 1"):
        load_user_subject("mine.py:subject")
