"""Draw docs/terminal.png, what three commands print on a terminal: ``python docs/make_terminal.py``.

The commands run in a pseudo-terminal of their own, as somebody would see them; Chromium makes the picture.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

from PIL import Image, ImageChops
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

PICTURE = Path(__file__).resolve().parent / "terminal.png"
ROOT = PICTURE.parents[1]
COLUMNS, LINES = 98, 60
Column = tuple[tuple[str, int | None], ...]
LEFT: Column = (("neurofit doctor", None), ("neurofit score --model rgc --region IT --formula nueral", None))
RIGHT: Column = (
    ("neurofit score --model rgc --region IT --splits 2 --halvings 1", None),
    ("neurofit score --help", 14),
)
"""What is typed, and how many lines of the answer are shown; all of them where None says so."""

THEME = TerminalTheme(
    (24, 26, 31), (222, 224, 228),
    [(24, 26, 31), (235, 110, 110), (126, 200, 130), (230, 190, 100), (110, 165, 235), (200, 140, 220),
     (100, 195, 205), (222, 224, 228)],
    [(120, 125, 135), (255, 130, 130), (150, 225, 155), (250, 215, 130), (140, 190, 255), (220, 165, 240),
     (130, 220, 230), (255, 255, 255)],
)  # fmt: skip
PAGE = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; padding: 16px; background: #e9eaee; display: grid; grid-template-columns: repeat(2, max-content);
        gap: 16px; align-items: start }}
div {{ display: grid; gap: 16px }}
pre {{ margin: 0; padding: 14px 18px; border-radius: 8px; background: #181a1f; color: #dee0e4;
       font: 12px/1.3 "DejaVu Sans Mono", Menlo, Consolas, monospace }}
</style><div>{left}</div><div>{right}</div>"""
SIZE = (1560, 1600)
BACKGROUND = (233, 234, 238)


def printed(command: str, folder: Path) -> str:
    """Run a command in a pseudo-terminal, in a folder; return what it prints, with its codes."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.environ |= {"TERM": "xterm-256color", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
            os.environ.pop(name, None)
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        words = command.split()
        os.execvp(words[0], words)
    parts = []
    while True:
        try:
            part = os.read(terminal, 1 << 16)
        except OSError:  # how Linux says that the other end is closed
            break
        if not part:
            break
        parts.append(part)
    os.waitpid(pid, 0)
    return b"".join(parts).decode()


def lines_of(text: str) -> list[str]:
    """Return the lines that stay; of each bar, one state from its middle, since it erases itself in the end."""
    kept: list[str] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        *states, last = line.split("\r")
        bars: dict[str, list[str]] = {}
        for state in states:
            if "%|" in state:
                bars.setdefault(state.split(":")[0], []).append(state.rstrip())
        kept += [bar[len(bar) // 2] for bar in bars.values()]
        kept.append(last)
    return kept


def as_html(command: str, most: int | None, folder: Path) -> str:
    """Return a terminal window with a command and its answer."""
    lines = lines_of(printed(command, folder))
    if most is not None and len(lines) > most:
        lines = [*lines[:most], "..."]
    # whose machine it was does not matter
    text = "\n".join(lines).replace(str(ROOT), "~/neurofit").replace(str(folder), "~").replace(str(Path.home()), "~")
    text = re.sub(r"^(.*platform  +)\S.*$", r"\1Linux-x86_64", text, flags=re.MULTILINE)
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
    console.print(Text.from_ansi(text.strip("\n")))
    return console.export_html(theme=THEME, inline_styles=True, code_format="<pre>{code}</pre>")


def main() -> None:
    """Run the commands, lay them out, and take the picture."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        raise SystemExit("make_terminal: Chromium is needed for the picture, and there is none - install it")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        left, right = ("".join(as_html(*shown, folder) for shown in column) for column in (LEFT, RIGHT))
        page, shot = folder / "page.html", folder / "shot.png"
        page.write_text(PAGE.format(left=left, right=right), encoding="utf-8")
        width, height = SIZE
        subprocess.run(
            [browser, "--headless", "--no-sandbox", "--hide-scrollbars", "--force-device-scale-factor=1.5",
             f"--window-size={width},{height}", f"--screenshot={shot}", page.as_uri()],
            check=True, capture_output=True,
        )  # fmt: skip
        with Image.open(shot) as image:
            drawn = image.convert("RGB")
            empty = Image.new("RGB", drawn.size, BACKGROUND)
            x, y, right, bottom = ImageChops.difference(drawn, empty).getbbox() or (0, 0, *drawn.size)
            drawn = drawn.crop((0, 0, right + x, bottom + y))  # margins as they are on the other sides
            drawn.quantize(32, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(PICTURE, optimize=True)
    print(f"{PICTURE.name}: {PICTURE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
