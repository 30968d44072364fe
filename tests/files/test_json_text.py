import json
import math

from hypothesis import given
from hypothesis import strategies as st

from neurofit.files.json_text import plain_values, to_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_written_is_read(value):
    assert json.loads(to_json(value)) == value


def test_a_list_of_numbers_takes_one_line_and_a_list_of_lists_one_each():
    text = to_json({"window": [70, 170], "table": [[1, 2], [3, math.nan]], "none": [], "nothing": {}})
    assert text.splitlines() == [
        "{",
        '  "window": [70, 170],',
        '  "table": [',
        "    [1, 2],",
        "    [3, null]",
        "  ],",
        '  "none": [],',
        '  "nothing": {}',
        "}",
    ]
    assert plain_values(math.inf) is None
