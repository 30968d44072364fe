"""``neurofit doctor``: is everything on this machine that neurofit needs, and do its numbers come out right?"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from neurofit.cli.examples import examples
from neurofit.cli.failures import UNFIT
from neurofit.cli.output import Output, Style, paint

if TYPE_CHECKING:
    from neurofit.cli.probes import Finding

EXAMPLES = examples(
    ("before the first score, or when something is odd", "neurofit doctor"),
    ("read all fetched files too, and compare their hashes", "neurofit doctor --deep"),
    ("to go with a report of a defect", "neurofit doctor --json > doctor.json"),
)

_MARKS: dict[str, tuple[str, Style]] = {
    "ok": ("ok", "good"), "absent": ("--", "dim"), "broken": ("!!", "error"), "unknown": ("??", "warning")
}  # fmt: skip
_NOT_FETCHED = {
    "data": "more can be fetched: neurofit data list",
    "weights": "networks have weights that can be fetched: neurofit models list",
}
"""Sections of many names, of which those that are not fetched are counted only."""

_MARGIN = 8
"""Columns besides a name's: two before the mark, the mark, and two on either side of the name."""


def doctor(
    deep: Annotated[bool, typer.Option("--deep", help="Read all fetched files, and compare their hashes.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as one JSON document.")] = False,
) -> None:
    """Say what neurofit finds here: versions, devices, memory, threads, data, weights, disk; and whether it is fit.

    Changes nothing. The exit code is 1 where something that is needed is broken, and what to do about it is said.
    """
    output = Output(as_json)
    found = []
    for title, findings in _examined(deep):
        _say_section(output, title, findings)
        found += findings
    broken = [finding for finding in found if finding.state == "broken"]
    output.say(_verdict(broken, sys.stderr if as_json else sys.stdout))
    output.emit(_document(found, broken))
    if broken:
        raise typer.Exit(UNFIT)


def _examined(deep: bool) -> Any:
    """Yield the sections, each when it is known; the slow ones come late."""
    from neurofit.cli import inventory, probes
    from neurofit.cli.probes import probed

    yield "versions", probed("versions", "neurofit", probes.versions)
    yield "extras, which are optional", probed("extras", "extras", probes.extras)
    yield "disk", probed("disk", "disk", inventory.folders)
    yield "shell", probed("shell", "completion", inventory.completion)
    yield "data", probed("data", "datasets", lambda: inventory.datasets(deep))
    yield (
        "devices",
        [
            *probed("devices", "cpu", probes.processor),
            *probed("devices", "memory", probes.memory),
            *probed("devices", "accelerators", probes.accelerators),
        ],
    )
    yield "threads", probed("threads", "threads", probes.threads)
    yield "weights", probed("weights", "weights", lambda: inventory.weights(deep))
    yield "self-tests", probed("self-tests", "self-tests", probes.self_tests, "broken", "install neurofit again")


def _say_section(output: Output, title: str, findings: Sequence[Finding]) -> None:
    """Print a section; in one of many names, those that are merely not fetched are counted."""
    stream = sys.stderr if output.as_json else sys.stdout
    output.say(paint(title, "heading", stream))
    counted = [f for f in findings if f.section in _NOT_FETCHED and f.facts.get("status") == "not fetched"]
    packages = [f for f in findings if f.state == "ok" and "needed" in f.facts]
    rows = [(f.state, f.name, f.text, f.remedy) for f in findings if f not in counted and f not in packages]
    if packages:
        rows.append(("ok", "packages", ", ".join(f"{f.name} {f.text}" for f in packages), ""))
    width = max((len(name) for _, name, _, _ in rows), default=0)
    for state, name, text, remedy in rows:
        mark, style = _MARKS[state]
        first, *others = _wrapped(text, width + _MARGIN, stream) + ([f"-> {remedy}"] if remedy else [])
        output.say(f"  {paint(mark, style, stream)}  {name:{width}}  {first}")
        for line in others:
            output.say(f"{'':{width + _MARGIN}}{line}")
    if counted:
        output.say(f"  {paint('--', 'dim', stream)}  {len(counted)} {_NOT_FETCHED[counted[0].section]}")
    output.say()


def _wrapped(text: str, indent: int, stream: TextIO) -> list[str]:
    """Return a text in lines beside its name: as a terminal is wide, and in one piece elsewhere."""
    if not stream.isatty():
        return [text]
    columns = max(shutil.get_terminal_size().columns - indent, 20)
    return textwrap.wrap(text, columns, break_long_words=False, break_on_hyphens=False) or [""]


def _verdict(broken: Sequence[Finding], stream: TextIO) -> str:
    """Return the last line: fit, or what is broken and what to do, each in a sentence."""
    if not broken:
        return f"{paint('fit', 'good', stream)}: nothing that neurofit needs is broken"
    lines = [": ".join(filter(None, (f"{f.section}, {f.name}", f.text, f.remedy))) for f in broken]
    return "\n".join([f"{paint('not fit', 'error', stream)}: {len(broken)} broken", *(f"  {x}" for x in lines)])


def _document(found: Sequence[Finding], broken: Sequence[Finding]) -> dict[str, Any]:
    """Return what was found, and whether it is enough."""
    return {
        "fit": not broken,
        "broken": [f"{finding.section}: {finding.name}" for finding in broken],
        "found": [asdict(finding) for finding in found],
    }
