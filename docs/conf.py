"""Settings of the documentation site; ``bash .ci/docs`` builds it."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from docutils import nodes
from sphinx.roles import XRefRole

import neurofit
from neurofit import errors

DOCS = Path(__file__).resolve().parent
EXECUTE = os.environ.get("NEUROFIT_DOCS_EXECUTE") == "1"

project = "neurofit"
author = "the neurofit developers"
copyright = f"2026, {author}"
version = release = neurofit.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc", "sphinx_copybutton"]
exclude_patterns = ["_build"]
nitpicky = True
smartquotes = False  # "--quiet" is an option, not a dash

# Pages: Markdown that GitHub shows as well, so plain links to headings and files
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

# Notebooks are shown as they are stored, or executed (each asserts its own numbers)
nb_execution_mode = "force" if EXECUTE else "off"
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_execution_timeout = 900
nb_merge_streams = True

# The reference: sections of docstrings are numpydoc's, types are stated there
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autosummary_generate = False
numpydoc_show_class_members = False
default_role = "name"

html_theme = "furo"
html_title = f"neurofit {version}"
html_static_path = ["_static"]
html_css_files = ["neurofit.css"]
html_theme_options = {"navigation_with_keys": True, "top_of_page_buttons": []}
pygments_style, pygments_dark_style = "a11y-light", "a11y-dark"
copybutton_exclude = ".linenos, .gp, .go"


def name_role(role, rawtext, text, lineno, inliner, options=None, content=()):
    """Turn a name between single backticks into a link if it is public, into code if not."""
    name = text.removeprefix("neurofit.").removeprefix("nf.")
    where = "neurofit.errors" if name.endswith("Error") and hasattr(errors, name) else "neurofit"
    if name not in neurofit.__all__ and where == "neurofit":
        return [nodes.literal(rawtext, text)], []
    return XRefRole(innernodeclass=nodes.literal)(
        "py:obj", rawtext, f"{text} <{where}.{name}>", lineno, inliner, options or {}, content
    )


def skip_member(app, what, name, obj, skip, options) -> bool | None:
    """Leave out what scikit-learn adds to every estimator; None leaves the choice to autodoc."""
    return True if re.fullmatch(r"set_\w+_request", name) else None


def copy_notebooks(app) -> None:
    """Copy the notebooks below this folder, with their links to pages as seen from there."""
    there = DOCS / "_notebooks"
    shutil.rmtree(there, ignore_errors=True)
    there.mkdir()
    for notebook in (DOCS.parent / "notebooks").glob("*.ipynb"):
        text = re.sub(r"\]\((?:\.\./)?docs/", "](../", notebook.read_text(encoding="utf-8"))
        (there / notebook.name).write_text(text, encoding="utf-8")


def setup(app) -> None:
    """Add what is above to Sphinx."""
    app.add_role("name", name_role)
    app.connect("builder-inited", copy_notebooks)
    app.connect("autodoc-skip-member", skip_member)
