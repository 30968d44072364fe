import hashlib
import re

from neurofit.report.site.build import PARTS, libraries


def test_libraries_are_what_they_say():
    for library in libraries().values():
        content = (PARTS / "vendor" / library["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == library["sha256"]
        assert library["version"].encode() in content[:300]
        assert library["version"] in library["source"]
        assert library["licence"] == "MIT"
        assert "Permission is hereby granted" in (PARTS / "vendor" / library["licence_file"]).read_text()


def test_nothing_else_is_bundled():
    listed = {library[key] for library in libraries().values() for key in ("file", "licence_file")}
    assert {path.name for path in (PARTS / "vendor").iterdir()} == listed | {"libraries.toml"}


def test_the_page_knows_the_surfaces_that_curves_are_made_for():
    from neurofit.report.site.colours import DARK, LIGHT

    style = (PARTS / "assets" / "site.css").read_text()
    assert set(re.findall(r"--surface: (#\w+);", style)) == {LIGHT, DARK}


def test_text_stands_out_from_every_ground():
    from neurofit.report.site.colours import contrast

    style = (PARTS / "assets" / "site.css").read_text()
    blocks = re.findall(r"--is-dark: \d;(.*?)color-scheme", style, re.S)
    assert len(blocks) == 3
    for block in blocks:
        colour = dict(re.findall(r"--([\w-]+): (#\w{6});", block))
        for ink in ("ink", "quiet", "link"):
            for ground in ("page", "surface", "raised", "track"):
                assert contrast(colour[ink], colour[ground]) >= 4.5, (ink, ground)
        assert contrast(colour["warn-ink"], colour["warn"]) >= 4.5
        assert contrast(colour["real-ink"], colour["real"]) >= 4.5
        assert contrast(colour["control"], colour["surface"]) >= 3
        assert contrast(colour["bar"], colour["surface"]) >= 3
