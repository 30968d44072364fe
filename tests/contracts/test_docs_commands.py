"""Every `neurofit ...` line of the pages is one that the command line takes. Nothing is run."""

import re
import shlex
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted((REPOSITORY / "docs").glob("*.md")),
    *sorted((REPOSITORY / "docs" / "adr").glob("*.md")),
]
BETWEEN = {";", "&&", "||", "|", "&", ">", ">>", "<", "(", ")"}


@pytest.fixture(scope="module")
def cli(load_script):
    """The script that knows all commands, and the commands by their words."""
    script = load_script(REPOSITORY / "docs" / "make_cli.py")
    return script, dict(script.commands())


def calls_in_blocks(page):
    """Yield the words of every call of neurofit in the blocks of a page that are for a shell."""
    for block in re.findall(r"^```sh\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE):
        for line in re.sub(r"\\\n", " ", block).splitlines():
            yield from calls_in_line(line)


def calls_in_line(line):
    """Yield the words after `neurofit` of every call in a line."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    part = []
    for token in [*lexer, ";"]:
        if token not in BETWEEN:
            part.append(token)
            continue
        if part and Path(part[0]).name == "neurofit":
            yield part[1:]
        part = []


def calls_in_sentences(page):
    """Yield the words of calls between single backticks; what stands for something else (NAME) is left as it is."""
    text = re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE)
    for written in re.findall(r"(?<!`)`neurofit ([a-z-][^`]*)`(?!`)", text):
        yield [word for word in shlex.split(re.split(r"\\?\|", written)[0], comments=True) if word not in ("...", ">")]


def check(cli, words, *, whole):
    """Assert that a call names a command, options that it has with values that they take, and no more arguments."""
    script, commands = cli
    path = ("neurofit",)
    everywhere = {name for p in commands[path].params for name in (*p.opts, *p.secondary_opts) if p.is_flag}
    words = [word for word in words if word not in everywhere]  # --quiet and the like, before or behind a command
    while words and (*path, words[0]) in commands:
        path, words = (*path, words[0]), words[1:]
    command = commands[path]
    if getattr(command, "commands", None) and words:
        assert words[0].startswith("-"), f"{' '.join(path)} has no command {words[0]}"
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = {name: p for p in command.params if p not in arguments for name in (*p.opts, *p.secondary_opts)}
    given, free, words = set(), [], list(words)
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            free.append(word)
            continue
        name, is_joined, value = word.partition("=")
        if name == "--help":
            continue
        assert name in options, f"{' '.join(path)} has no option {name}"
        given.add(options[name].name)
        if options[name].is_flag or getattr(options[name], "count", False):
            continue
        if not is_joined and (not words or words[0].startswith("--")):
            assert not whole, f"{name} has no value"
            continue
        value_fits(script.annotated(command, options[name]), value if is_joined else words.pop(0), name)
    assert len(free) <= len(arguments) or any(p.nargs == -1 for p in arguments), f"{path} takes no {free}"
    if whole and not getattr(command, "commands", None):
        missing = [p.name for p in command.params if p.required and p not in arguments and p.name not in given]
        assert not missing, f"{' '.join(path)} needs {missing}"
        assert len(free) >= sum(p.required for p in arguments), f"{' '.join(path)} needs arguments"


def value_fits(annotation, value, name):
    """Assert that a value is one of the choices, or a number in range, where the option takes such."""
    kind, _, (low, high) = annotation
    if re.fullmatch(r"[A-Z]+|\.\.\.", value):  # stands for something
        return
    if get_origin(kind) is Literal:
        assert value in get_args(kind), f"{name} is none of {get_args(kind)}: {value}"
    if kind in (int, float):
        assert (low is None or kind(value) >= low) and (high is None or kind(value) <= high), f"{name} {value}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_the_commands_of_a_page_exist(cli, path):
    page = path.read_text()
    for words in calls_in_blocks(page):
        check(cli, words, whole=True)
    for words in calls_in_sentences(page):
        check(cli, words, whole=False)


def test_pages_have_commands():
    found = [words for path in PAGES for words in calls_in_blocks(path.read_text())]
    assert len(found) > 60
    assert len({words[0] for words in found}) >= 12


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("neurofit scor --model rgc", "no command scor"),
        ("neurofit score --model rgc --splitz 3", "no option --splitz"),
        ("neurofit score --region IT", r"needs \['model'\]"),
        ("neurofit score --model rgc --splits 0", "--splits 0"),
        ("neurofit score --model rgc --metric cka", "--metric is none of"),
        ("neurofit models show rgc ff", "takes no"),
        ("neurofit score --model", "--model has no value"),
    ],
)
def test_what_is_wrong_is_found(cli, line, says):
    (words,) = calls_in_line(line)
    with pytest.raises(AssertionError, match=says):
        check(cli, words, whole=True)


def test_calls_are_found_in_a_line():
    assert list(
        calls_in_line("pip install x && .venv/bin/neurofit score --model rgc --json > a.json  # neurofit b")
    ) == [["score", "--model", "rgc", "--json"]]
    assert list(calls_in_sentences("`neurofit train --look-every 1 ...` and ``neurofit x``")) == [
        ["train", "--look-every", "1"]
    ]
