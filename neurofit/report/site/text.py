"""Text of records, which may be anything, made safe for pages, scripts, file names, CSV and BibTeX."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata

LONGEST_SHOWN = 120
"""Characters of a name that tables show; pages of a model show all."""

# Controls, what turns the direction of writing, spaces without width, and halves of characters: without a trace on a
# page, and a name can pretend to be another by them. Joiners (U+200C, U+200D) are left: scripts and emoji need them.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_SAFE_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,149}")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_BIBTEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


def shown(text: object, limit: int = 0) -> str:
    """Return text as it can be shown: characters without a trace as ``⟨U+202E⟩``, and cut where it is too long.

    It is not escaped: templates and scripts do that.

    Parameters
    ----------
    text : object
        Made a string.
    limit : int, optional
        Characters that are kept; 0 keeps all.
    """
    text = str(text)
    cut = text[:limit] if limit else text
    cut = _UNSEEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", cut)
    if len(text) > limit > 0:
        return f"{cut}… ({len(text):,} characters)"
    return cut if cut.strip() else "(no name)"


def file_stem(text: str) -> str:
    """Return a part of a file's name for any text: letters, digits and '-', and the same for the same text alone.

    A hash sets apart what has the same letters, also on file systems that do not tell capitals apart.
    """
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", letters)[:40].strip("-") or "model"
    return f"{slug}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:10]}"


def file_stems(names: list[str]) -> dict[str, str]:
    """Return a part of a file's name for each of several identifiers: itself if it is safe and no other's, in any case.

    Identifiers are made to be safe already; this is where a site relies on it, and so where it is made sure of.
    """
    stems, taken = {}, set()
    for name in dict.fromkeys(names):
        safe = _SAFE_FILE.fullmatch(name) and not name.endswith(".") and name.lower() not in taken
        stem = name if safe else file_stem(name)
        taken.add(stem.lower())
        stems[name] = stem
    return stems


def script_call(function: str, *arguments: object) -> str:
    """Return a line of JavaScript that calls a function with values, which cannot end the script or its strings."""
    # ASCII alone: U+2028 and U+2029, which end lines in older engines, are written as escapes
    values = ",".join(json.dumps(value, allow_nan=False, separators=(",", ":")) for value in arguments)
    return f"{function}({values.replace('<', chr(92) + 'u003c')});\n"


def csv_cell(value: object) -> object:
    """Return a cell of a table that no spreadsheet takes for a formula; numbers stay numbers."""
    if isinstance(value, int | float):
        return value
    text = shown(value) if value else ""
    return f"'{text}" if text.lstrip().startswith(_FORMULA_STARTS) else text


def bibtex_entry(kind: str, key: str, **fields: object) -> str:
    """Return an entry of BibTeX with its values escaped; those that are empty are left out.

    An author is taken for a group, whose name BibTeX must not take apart.
    """
    key = re.sub(r"[^A-Za-z0-9.:-]+", "-", key)[:80].strip("-") or "entry"
    written = {name: _bibtex(value) for name, value in fields.items() if value}
    if "author" in written:
        written["author"] = f"{{{written['author']}}}"
    lines = [f"  {name} = {{{value}}}," for name, value in written.items()]
    return "\n".join([f"@{kind}{{{key},", *lines, "}"])


def _bibtex(value: object) -> str:
    return "".join(_BIBTEX.get(character, character) for character in " ".join(shown(value).split()))
