from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal

import pytest

from neurofit.errors import ConfigurationError, DataFileError
from neurofit.files.toml_schema import Rule, parse_table, read_toml

Positive = Annotated[int, Rule("positive", lambda number: number > 0)]


@dataclass(frozen=True)
class Part:
    url: str
    size: Positive | None = None


@dataclass(frozen=True)
class Whole:
    name: str
    mode: Literal["fast", "slow"] = "fast"
    share: float = 0.25
    loud: bool = False
    seed: int | str = 0
    edges: tuple[int, int] = (0, 1)
    tags: tuple[str, ...] = ()
    weights: dict[str, float] = field(default_factory=dict)
    only: Part | None = None
    parts: tuple[Part, ...] = ()

    def cross_problems(self) -> Iterator[str]:
        if self.edges[0] >= self.edges[1]:
            yield "edges do not rise"


def parse(**table):
    return parse_table(table, Whole, source="my.toml", what="test file")


def test_defaults_and_conversions():
    parts = [{"url": "v", "size": 9}]
    whole = parse(name="a", share=1, edges=[2, 3], tags=["x"], weights={"k": 2}, only={"url": "u"}, parts=parts)
    assert whole == Whole(
        "a", share=1.0, edges=(2, 3), tags=("x",), weights={"k": 2.0}, only=Part("u"), parts=(Part("v", 9),)
    )
    assert isinstance(whole.share, float)
    assert parse(name="a", seed="x").seed == "x"


def test_all_problems_come_at_once_with_file_and_key():
    with pytest.raises(ConfigurationError) as caught:
        parse(shair=0.5, mode="slwo", loud=1, tags=[1], parts=[{"url": "a", "size": 0}, {"siez": 3}], only={"url": 2})
    assert "my.toml has 9 problems: " in caught.value.found
    for clause in (
        "shair is not a known key (the nearest is share)",
        "name is missing",
        "mode is 'slwo', which is not one of 'fast', 'slow' (the nearest is 'slow')",
        "loud is 1, which is not true or false",
        "tags #1 is 1, which is not text",
        "parts #1: size is 0, which is not positive",
        "parts #2: siez is not a known key (the nearest is size)",
        "parts #2: url is missing",
        "only.url is 2, which is not text",
    ):
        assert clause in caught.value.found


@pytest.mark.parametrize(
    ("key", "value", "needed"),
    [
        ("share", True, "a finite number"),
        ("share", float("nan"), "a finite number"),
        ("seed", 1.5, "a whole number or text"),
        ("seed", True, "a whole number or text"),
        ("name", 1, "text"),
        ("edges", [1], "a list of 2 (a whole number, a whole number)"),
        ("tags", "x", "a list (of text)"),
        ("weights", [1], "a table"),
        ("parts", {"url": "a"}, "a list (of a table)"),
        ("only", "u", "a table"),
    ],
)
def test_wrong_types_are_told_in_words(key, value, needed):
    with pytest.raises(ConfigurationError) as caught:
        parse(**({"name": "a"} | {key: value}))
    assert f"has 1 problem: {key} is {value!r}, which is not {needed}" in caught.value.found


def test_conditions_between_keys_are_asked_when_each_key_is_right():
    with pytest.raises(ConfigurationError, match="1 problem: edges do not rise"):
        parse(name="a", edges=[3, 2])
    with pytest.raises(ConfigurationError, match="1 problem: loud is 3"):
        parse(name="a", edges=[3, 2], loud=3)


def test_a_key_without_a_near_one_lists_the_known():
    with pytest.raises(ConfigurationError, match=r"zzzz is not a known key \(known: url, size\)"):
        parse_table({"url": "a", "zzzz": 1}, Part, source="x", what="part")


def test_long_values_are_cut():
    with pytest.raises(ConfigurationError, match=r"share is 'x{59}\.\.\., which"):
        parse(name="a", share="x" * 1000)


def test_files_are_read(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text('url = "ü"\nsize = 3\n', encoding="utf-8")
    assert read_toml(path, Part, what="part") == Part("ü", 3)


@pytest.mark.parametrize("content", [b"url = ", b'url = "\xff"'])
def test_what_is_not_toml_is_told(tmp_path, content):
    (tmp_path / "a.toml").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"a part is a TOML file in UTF-8 - .*a\.toml: "):
        read_toml(tmp_path / "a.toml", Part, what="part")


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(DataFileError, match=r"a part can be read - .*a\.toml: No such file"):
        read_toml(tmp_path / "a.toml", Part, what="part")


def test_an_annotation_that_is_not_understood_is_told():
    @dataclass(frozen=True)
    class Strange:
        when: complex

    with pytest.raises(ConfigurationError, match="understands - found <class 'complex'>"):
        parse_table({"when": 1}, Strange, source="x", what="strange")


@dataclass(frozen=True)
class RoundConfig:
    radius: float | None = 1.0


@dataclass(frozen=True)
class Square:
    side: float


@dataclass(frozen=True)
class Drawing:
    shape: RoundConfig | Square | None = None
    frame: Square | Literal["none", "plain"] = "none"


def draw(**table):
    return parse_table(table, Drawing, source="my.toml", what="drawing")


def test_a_table_says_which_of_several_it_is():
    assert draw(shape={"kind": "Round", "radius": 2}).shape == RoundConfig(2.0)
    assert draw(shape={"side": 3, "kind": "Square"}, frame={"side": 1}) == Drawing(Square(3.0), Square(1.0))
    assert draw().shape is None and draw(frame="plain").frame == "plain"


def test_none_that_is_not_the_default_is_written_in_words():
    assert draw(shape={"kind": "Round", "radius": "none"}).shape == RoundConfig(None)
    assert draw(shape="none").shape is None


@pytest.mark.parametrize(
    ("table", "clause"),
    [
        ({"shape": {"kind": "Sqare", "side": 1}}, "shape.kind is 'Sqare', which is not one of 'Round', 'Square' (the"),
        ({"shape": {"side": 1}}, "shape.kind is missing: one of 'Round', 'Square'"),
        ({"shape": {"kind": ["Round"]}}, "shape.kind is ['Round'], which is not one of"),
        ({"shape": {"kind": "Square", "sied": 1}}, "shape.sied is not a known key (the nearest is side)"),
        ({"shape": {"kind": "Square"}}, "shape.side is missing"),
        ({"shape": "Square"}, "shape is 'Square', which is not a table"),
        ({"frame": {"sied": 1}}, "frame.sied is not a known key (the nearest is side)"),
        ({"frame": "plane"}, "frame is 'plane', which is not a table or one of 'none', 'plain'"),
        ({"shape": {"kind": "Square", "side": 10**400}}, "which is not a finite number"),
        ({"shape": {"kind": "Square", "side": 10**9000}}, "shape.side is a number of thousands of digits"),
    ],
)
def test_what_is_wrong_with_one_of_several_is_told(table, clause):
    with pytest.raises(ConfigurationError) as caught:
        draw(**table)
    assert clause in caught.value.found


def test_brackets_within_brackets_are_no_toml(tmp_path):
    (tmp_path / "deep.toml").write_text("x = " + "[" * 20_000)
    with pytest.raises(ConfigurationError, match="is a TOML file in UTF-8"):
        read_toml(tmp_path / "deep.toml", Drawing, what="drawing")
