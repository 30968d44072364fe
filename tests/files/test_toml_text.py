"""Tables as TOML text: what Python's library reads is what was written."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurofit.files.toml_text import to_toml

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
scalar = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | text
value = st.recursive(
    scalar, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3), max_leaves=8
)


@given(table=st.dictionaries(text, value, max_size=4), inline=st.lists(text, max_size=2).map(tuple))
def test_any_table_is_read_as_it_was(table, inline):
    assert tomllib.loads(to_toml(table, inline)) == table


def test_sections_follow_values_and_lines_stay_lines():
    table = {"node": [{"name": "a", "gate": {"kernel": 3}}, {"name": "b"}], "title": "x", "edges": [["a", "b"]]}
    assert to_toml(table, ("gate",)).splitlines() == [
        'title = "x"', 'edges = [["a", "b"]]', "", "[[node]]", 'name = "a"', "gate = {kernel = 3}", "", "[[node]]",
        'name = "b"',
    ]  # fmt: skip


def test_what_toml_does_not_have_is_refused():
    with pytest.raises(TypeError, match="NoneType"):
        to_toml({"x": None})
