"""The table and the figure of what `mapping.py` measured."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import Record

#: Okabe and Ito's colours, which people of any colour vision tell apart.
INK, BLUE, SKY, ORANGE, GREEN, GREY = "#1b1b1f", "#0072B2", "#56B4E9", "#D55E00", "#009E73", "#8a8a94"
FAMILIES = {"neurofit": BLUE, "ikpls": ORANGE, "scikit-learn": GREEN, "Brain-Score": GREY, "plain NumPy loop": ORANGE}
MARKS = {"neurofit": "o", "neurofit, float32": "D", "ikpls, algorithm 1": "s", "scikit-learn": "^"}
#: Height of title and axis of a panel of bars, in bars.
MARGIN = 2.5
BEGIN, END = "<!-- begin mapping table -->", "<!-- end mapping table -->"
COLUMNS = (
    "contender",
    "CPU-s",
    "x neurofit",
    "wall s, 1 thread",
    "wall s, 2 threads",
    "of GEMM peak",
    "memory, MiB",
    "r differs by",
)


@dataclass(frozen=True)
class Row:
    """A contender at a job.

    Attributes
    ----------
    job, contender, reference : str
    cpu_s : float
        CPU-seconds of the whole job on one thread; median over rounds.
    ratio : float
        Median over rounds of how many times the CPU-seconds of `reference`.
    wall_s : dict of float
        By number of threads.
    share : float
        Part of the job that was run; if not 1, times are extrapolated.
    peak_share : float or None
        Operations that the job takes at least, per CPU-second, relative to a large matrix product.
    memory_mib : float or None
        Most that it added to the inputs.
    differs, tolerance : float
        Of r, from `reference`.
    """

    job: str
    contender: str
    reference: str
    cpu_s: float
    ratio: float
    wall_s: dict[int, float]
    share: float
    peak_share: float | None
    memory_mib: float | None
    differs: float
    tolerance: float

    @property
    def agrees(self) -> bool:
        """Whether its results are those of the reference, within its tolerance."""
        return self.differs <= self.tolerance

    def cells(self) -> tuple[str, ...]:
        """Return the row of the table; ~ marks what was extrapolated."""
        about = "" if self.share == 1 else "~"
        walls = [f"{about}{_short(self.wall_s[t])}" if t in self.wall_s else "-" for t in (1, 2)]
        return (
            self.contender,
            f"{about}{_short(self.cpu_s)}",
            f"{about}{_short(self.ratio)}",
            *walls,
            "-" if self.peak_share is None else f"{about}{self.peak_share:.1%}",
            "-" if self.memory_mib is None else f"{self.memory_mib:,.0f}",
            f"{self.differs:.0e}" if self.tolerance else "-",
        )


def row_of(
    job: str,
    name: str,
    reference: str,
    records: dict[str, Record],
    *,
    tolerance: float,
    operations: float | None = None,
    peak: float | None = None,
    memory_mib: float | None = None,
) -> Row:
    """Summarise a record; `operations` and `peak` (operations per second) give the fraction of the peak."""
    record = records[name]
    first = min(record.cpu_s)
    cpu = statistics.median(record.cpu_s[first])
    return Row(
        job,
        name,
        reference,
        cpu,
        record.ratio(records[reference], first),
        {threads: statistics.median(seconds) for threads, seconds in record.wall_s.items()},
        record.share,
        operations / cpu / peak if operations and peak else None,
        memory_mib,
        record.differs,
        tolerance,
    )


def text_table(rows: Iterable[Row]) -> str:
    """Return rows in columns for a terminal."""
    lines = [COLUMNS, *(row.cells() for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    )


def markdown_table(document: dict[str, Any], rows: list[Row]) -> str:
    """Return a section a job, with the line that says what was run."""
    parts = [" ".join(document["notes"])]
    for job, title in document["jobs"].items():
        lines = [COLUMNS, ("---", *["---:"] * (len(COLUMNS) - 1)), *(row.cells() for row in rows if row.job == job)]
        parts += [f"**{title}**", "\n".join(f"| {' | '.join(line)} |" for line in lines)]
    return "\n\n".join(parts)


def write_markdown(path: Path, table: str) -> None:
    """Write the table, between the markers where the file has them, or as the whole file if there is none yet."""
    block = f"{BEGIN}\n\n{table}\n\n{END}"
    if not path.exists():
        path.write_text(block + "\n")
        return
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{path} has no lines '{BEGIN}' and '{END}': add them where the table belongs")
    path.write_text(before + block + after)


def draw(path: Path, document: dict[str, Any], rows: list[Row]) -> None:
    """Draw bars of CPU-seconds for each job, with ratios, and how the time grows."""
    from matplotlib.figure import Figure

    jobs = {title: [row for row in rows if row.job == job] for job, title in document["jobs"].items()}
    mapping = {title: members for title, members in jobs.items() if members[0].peak_share is not None}
    others = {title: members for title, members in jobs.items() if title not in mapping}
    growth = document["growth"]
    columns = [column for column in ([mapping], [others, growth]) if any(column)]
    heights = [sum(_inches(block) for block in column if block) for column in columns]
    figure = Figure(figsize=(7 * len(columns), max(heights)), layout="constrained")
    for place, column in zip(figure.subfigures(1, len(columns), squeeze=False)[0], columns, strict=True):
        blocks = [block for block in column if block]
        ratios = [_inches(block) for block in blocks]
        ratios[-1] += max(heights) - sum(ratios)  # the last block fills the column
        for part, block in zip(
            place.subfigures(len(blocks), 1, height_ratios=ratios, squeeze=False)[:, 0], blocks, strict=True
        ):
            if block is growth:
                _growth(part, growth)
                continue
            shares = [len(members) + MARGIN for members in block.values()]
            panels = part.subplots(len(block), 1, squeeze=False, height_ratios=shares)[:, 0]
            for axes, (title, members) in zip(panels, block.items(), strict=True):
                _bars(axes, members, title)
    figure.savefig(path, dpi=130, facecolor="white")


def _inches(block: dict[str, Any]) -> float:
    """Height of a block of bars, or of the curves of growth."""
    first = next(iter(block.values()))
    return 0.25 * sum(len(rows) + MARGIN for rows in block.values()) if isinstance(first, list) else 5.5


def _bars(axes: Any, rows: list[Row], title: str) -> None:
    rows = rows[::-1]
    values = [row.cpu_s for row in rows]
    hatches = ["" if row.share == 1 else "///" for row in rows]
    axes.barh(
        [row.contender for row in rows],
        values,
        color=[_colour(row.contender) for row in rows],
        hatch=hatches,
        edgecolor="white",
        linewidth=0,
        height=0.72,
    )
    for y, row in enumerate(rows):
        about = "" if row.share == 1 else "~"
        text = f" {about}{_short(row.cpu_s)} s"
        if row.contender != row.reference:
            text += f"  ({about}{_short(row.ratio)} x)"
        if row.peak_share is not None and row.share == 1:
            text += f"  {row.peak_share:.0%} of peak"
        axes.text(row.cpu_s, y, text, va="center", fontsize=8, color=INK)
    axes.set_xscale("log")
    axes.set_xlim(min(values) / 2, max(values) * (max(values) / min(values)) ** 0.4 * 8)
    job, _, size = title.partition(": ")
    axes.set_title(f"{job}\n{size}", loc="left", fontsize=8.5)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel("CPU-seconds, one thread", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _growth(figure: Any, growth: dict[str, Any]) -> None:
    panels = figure.subplots(2, -(-len(growth) // 2), sharey=True, squeeze=False).ravel()
    for ax in panels[len(growth) :]:
        ax.axis("off")
    for ax, (axis, points) in zip(panels, growth.items(), strict=False):
        sizes = [int(size) for size in points]
        for name in next(iter(points.values())):
            seconds = [point[name]["cpu_s"] for point in points.values()]
            measured = all(point[name]["share"] == 1 for point in points.values())
            ax.plot(
                sizes,
                seconds,
                color=SKY if name == "neurofit, float32" else _colour(name),
                marker=MARKS.get(name, "v"),
                linestyle="-" if measured else "--",
                label=name if measured else f"{name} (~)",
                markersize=4,
                linewidth=1.4,
            )
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xticks(sizes, [f"{size:,}" for size in sizes], rotation=35, ha="right")
        ax.minorticks_off()
        ax.set_xlabel(axis, fontsize=8)
        ax.tick_params(labelsize=7)
        ax.spines[["top", "right"]].set_visible(False)
    figure.supylabel("CPU-seconds, one thread", fontsize=8)
    figure.suptitle(
        "Growth: one size changes, the others stay as in the temporal mapping", x=0.08, ha="left", fontsize=8.5
    )
    handles, labels = panels[0].get_legend_handles_labels()
    if len(panels) > len(growth):
        panels[-1].legend(handles, labels, loc="center", frameon=False, fontsize=8)
    else:
        figure.legend(handles, labels, loc="outside lower left", ncols=4, frameon=False, fontsize=8)


def _colour(name: str) -> str:
    if name == "neurofit, float32":
        return SKY
    return next((colour for family, colour in FAMILIES.items() if name.startswith(family)), GREY)


def _short(value: float) -> str:
    """Three digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 0.1 else f"{value:.{1 if value >= 10 else 2}f}"
