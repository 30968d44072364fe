"""Draw the pictures of docs/gallery.md by the commands of that page: ``python docs/make_gallery.py [PICTURE ...]``.

Everything is computed on the embedded SIMULATED benchmarks, with few splits, so that the whole takes some ten minutes
of one core. The page itself is held against this table by a test; names of pictures choose some of them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from PIL import Image

DOCS = Path(__file__).resolve().parent
WIDTH, COLOURS, LARGEST = 1400, 128, 150_000  # pixels; of the palette; bytes


class Picture(NamedTuple):
    """One entry of the gallery.

    Parameters
    ----------
    title : str
    commands : tuple of str
        Commands of a shell, the last of which writes the figure.
    says : str
        What there is to see; the alternative text as well.
    """

    title: str
    commands: tuple[str, ...]
    says: str


PICTURES: dict[str, Picture] = {
    "time-course": Picture(
        "Predictivity over time",
        ("neurofit score --model rgc --region IT",),
        "Noise-corrected and raw predictivity of simulated IT by conv5 of rgc in bins of 10 ms, with the ceiling.",
    ),
    "layers": Picture(
        "Layers",
        ("neurofit layers --model rgc --region V4 --splits 2 --halvings 1 --per neuroid",),
        "All layers of rgc over time against simulated V4, and the share of neuroids that prefer each.",
    ),
    "comparison": Picture(
        "Comparison",
        ("neurofit compare rgc ff --region IT --splits 2 --halvings 1 --image-groups 5",),
        "rgc and ff over time against simulated IT, and their difference with intervals over neuroids and images.",
    ),
    "ceiling": Picture(
        "Ceilings",
        ("neurofit ceiling --region IT --splits 2 --halvings 2",),
        "Noise ceiling of simulated IT over time, and how well its two animals predict each other.",
    ),
    "solution-times": Picture(
        "Object solution times",
        ("neurofit ost --model rgc --region IT --splits 4 --reference 0.85",),
        "When simulated IT and rgc decode the category of single images: accuracy over time, and times against times.",
    ),
    "health": Picture(
        "Regression health",
        ("neurofit health --model rgc --region V4 --splits 2 --halvings 1 --resamples 200",),
        "Predictivity against components, held out and in training, and against the number of training stimuli.",
    ),
    "trade-off": Picture(
        "Trade-offs",
        ("neurofit tradeoff --y top1 --x macs",),
        "Published ImageNet accuracy of the released networks against multiply-accumulates, with the Pareto front.",
    ),
}

SCREENSHOTS: dict[str, str] = {  # file in docs/ -> what it shows; made by make_site_pictures.py
    "leaderboard.png": "The leaderboard's first page on a desktop, with a table for each board.",
    "leaderboard-dark.png": "Predictivity over time of the runs of a board, dark.",
    "leaderboard-phone.png": "The leaderboard on a phone.",
}

HEAD = """# Gallery

Every picture was made by the command above it; `python docs/make_gallery.py` makes them all again. The recordings are
the embedded ones, **SIMULATED**, and most commands take fewer splits and halvings than the benchmarks have, so as to be
done soon: the numbers are no results.
"""


def page() -> str:
    """Return docs/gallery.md."""
    parts = [HEAD]
    for name, picture in PICTURES.items():
        commands = "\n".join(picture.commands)
        parts.append(f"\n## {picture.title}\n\n```sh\n{commands}\n```\n\n![{picture.says}](gallery/{name}.png)\n")
    if SCREENSHOTS:
        parts.append("\n## Leaderboard\n\n```sh\nneurofit leaderboard neurofit-out --site site\n```\n")
        parts.append("\nScreenshots of [the site](leaderboard-site.md), of records of quick scores.\n")
        parts += [f"\n![{says}]({name})\n" for name, says in SCREENSHOTS.items()]
    return "".join(parts) + TAIL


TAIL = """
## On other pages

- [Early looks](training.md#early-looks): predictivity while a network is trained.
- [A search of architectures](architecture-search.md#measured), trial by trial.
- [Regression health on real V4](regression-health.md#measured).
- [The mapping's speed](speed.md#measured).
"""


def draw(picture: Picture, to: Path) -> None:
    """Run a picture's commands in a folder of their own and keep the figure."""
    with tempfile.TemporaryDirectory() as folder:
        for command in picture.commands:
            arguments = [sys.executable, "-m", *command.split()]
            done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{command}\n{done.stderr[-2000:]}")
        figures = sorted(Path(folder, "neurofit-out").glob("*.png"), key=lambda path: path.stat().st_mtime)
        shrink(figures[-1], to)


def shrink(figure: Path, to: Path) -> None:
    """Save a figure in the size that a page shows, with a palette."""
    image = Image.open(figure).convert("RGB")
    if image.width > WIDTH:
        image = image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS)
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(to, optimize=True)
    if to.stat().st_size > LARGEST:
        raise SystemExit(f"{to.name} has {to.stat().st_size:,} bytes, more than {LARGEST:,}: fewer pixels or colours")


def main() -> None:
    """Draw the pictures that are asked for, or all, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="PICTURE", help=", ".join(PICTURES))
    parser.add_argument("--page", action="store_true", help="write the page alone")
    asked = parser.parse_args()
    (DOCS / "gallery").mkdir(exist_ok=True)
    (DOCS / "gallery.md").write_text(page())
    for name in [] if asked.page else asked.names or PICTURES:
        print(name, flush=True)
        draw(PICTURES[name], DOCS / "gallery" / f"{name}.png")


if __name__ == "__main__":
    main()
