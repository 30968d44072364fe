"""Pages that are generated equal what the code says now; examples of formats load; the citation file is one."""

import os
import re
import subprocess
import sys
import tomllib

import pytest
import yaml

import neurofit
from neurofit.cli.main import app
from neurofit.files.manifest import Manifest
from neurofit.scoring.benchmark import Benchmark


@pytest.mark.parametrize("name", ["make_api", "make_formats"])
def test_pages_are_generated(repository, load_script, name):
    script = load_script(repository / "docs" / f"{name}.py")
    folder = getattr(script, "FOLDER", repository / "docs")
    stale = [file for file, text in script.pages().items() if (folder / file).read_text() != text]
    assert stale == [], f"run: python docs/{name}.py"


@pytest.mark.parametrize(("name", "page"), [("make_cli", "cli.md"), ("make_gallery", "gallery.md")])
def test_a_page_is_generated(repository, load_script, name, page):
    script = load_script(repository / "docs" / f"{name}.py")
    assert script.page() == (repository / "docs" / page).read_text(), f"run: python docs/{name}.py"


def test_every_public_name_is_in_the_reference_once(repository):
    pages = [path.read_text() for path in (repository / "docs" / "api").glob("*.md") if path.name != "index.md"]
    found = re.findall(r"^\.\. auto(?:function|class):: neurofit\.(\w+)$", "\n".join(pages), flags=re.MULTILINE)
    assert sorted([*found, "__version__", "NeurofitError"]) == sorted(neurofit.__all__)
    assert any(".. automodule:: neurofit.errors\n   :members:" in page for page in pages)
    index = (repository / "docs" / "api" / "index.md").read_text()
    assert "neurofit.__version__" in index
    for name in found:
        assert f"<neurofit.{name}>" in index


def test_every_command_is_on_its_page(repository):
    page = (repository / "docs" / "cli.md").read_text()
    names = [each.name for each in app.registered_commands]
    names += [
        f"{g.name} {c.name or c.callback.__name__}"
        for g in app.registered_groups
        for c in g.typer_instance.registered_commands
    ]
    assert len(names) > 15
    for name in names:
        assert re.search(rf"^###? neurofit {name}$", page, flags=re.MULTILINE), name


@pytest.mark.parametrize(
    ("page", "schema"), [("benchmark-format.md", Benchmark), ("manifest-format.md", Manifest)], ids=str
)
def test_the_complete_file_of_a_format_loads(repository, tmp_path, page, schema):
    (example,) = re.findall(r"```toml\n(.*?)```", (repository / "docs" / page).read_text(), flags=re.DOTALL)
    path = tmp_path / "example.toml"
    path.write_text(example)
    loaded = schema.from_toml(path)
    table = tomllib.loads(example)
    for key, value in table.items():
        if not isinstance(value, dict | list):
            assert getattr(loaded, key) == value
    if schema is Benchmark:  # every table of the file is in the example
        assert len([value for value in table.values() if isinstance(value, dict)]) == 8
        assert loaded.static.layers == ("conv2", "conv3")
    else:
        assert [entry.name for entry in loaded.files] == ["responses.h5", "images.zip"]


def test_the_pictures_of_the_gallery_are_there_and_small(repository, load_script):
    script = load_script(repository / "docs" / "make_gallery.py")
    for name in script.PICTURES:
        assert 0 < (repository / "docs" / "gallery" / f"{name}.png").stat().st_size <= script.LARGEST, name


def test_the_citation_file_is_valid(repository):
    citation = yaml.safe_load((repository / "CITATION.cff").read_text())
    assert citation.keys() >= {"cff-version", "message", "title", "authors", "version", "license", "references"}
    assert citation["cff-version"] == "1.2.0"
    assert (citation["title"], citation["version"]) == ("neurofit", neurofit.__version__)
    assert citation["license"] in (repository / "pyproject.toml").read_text()
    assert [work["year"] for work in citation["references"]] == [2018, 2022]
    for work in citation["references"]:
        assert work.keys() >= {"type", "title", "authors", "year", "start", "end"}
        assert work["start"] < work["end"]
        assert all(author.keys() == {"family-names", "given-names"} for author in work["authors"])
        assert work["authors"][0]["family-names"] == "Nayebi"
        assert work.get("doi", "10.").startswith("10.")


def test_contributing_states_three_commands(repository):
    page = (repository / "CONTRIBUTING.md").read_text().split("## ")[0]
    tests, slow, docs, _ = re.findall(r"```sh\n(.*?)\n```", page, flags=re.DOTALL)
    assert tests in (repository / ".ci" / "run").read_text()
    assert slow == "bash .ci/check -m slow"
    assert docs == "bash .ci/docs"
    assert "-W" in (repository / ".ci" / "docs").read_text()


@pytest.mark.slow
def test_the_site_builds_without_warnings(repository, tmp_path):
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-E", "-q", "-d", tmp_path / "doctrees"]
    environment = os.environ | {"NEUROFIT_DOCS_EXECUTE": "0"}
    done = subprocess.run(
        [*command, repository / "docs", tmp_path / "html"], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    index = (tmp_path / "html" / "index.html").read_text()
    for page in ("quick-start", "concepts", "cli", "api/index", "benchmark-format", "adr/README", "contributing"):
        assert f'href="{page}.html"' in index
    assert "predictivity" in (tmp_path / "html" / "api" / "scores.html").read_text()
