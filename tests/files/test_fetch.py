from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pooch
import pytest

from neurofit.errors import DataFileError, HashMismatchError, OutputError
from neurofit.files.fetch import ResumingDownloader, check, fetch
from neurofit.files.manifest import FIRST_SEEN_NAME, LOCK_NAME
from neurofit.files.verify import Expectation

BODY = random.Random(0).randbytes(1_024_000)  # many pieces, of which no two are alike
HALF = len(BODY) // 2
UNKNOWN = {"size": None, "sha256": None, "hash_unknown": "not published"}


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def size_of_part(folder):
    return (folder / "toy" / "a.bin.part").stat().st_size


# --- downloads that go well


def test_downloads_a_file_and_leaves_nothing_else(server, manifest_of, entry_of, tmp_path):
    manifest = manifest_of(entry_of(BODY, server.serve("/a", BODY)))
    (file,) = fetch(manifest, tmp_path)
    assert file.status == "downloaded" and file.size == len(BODY)
    assert file.digest == f"sha256:{hashlib.sha256(BODY).hexdigest()}"
    assert file.path == tmp_path / "toy" / "a.bin" and file.path.read_bytes() == BODY
    assert names_in(tmp_path / "toy") == [LOCK_NAME, "a.bin"]


def test_leaves_alone_what_is_there_and_right(server, manifest_of, entry_of, tmp_path):
    manifest = manifest_of(entry_of(BODY, server.serve("/a", BODY)))
    fetch(manifest, tmp_path)
    (again,) = fetch(manifest, tmp_path)
    assert again.status == "already there" and len(server.requests) == 1


def test_replaces_what_is_there_and_wrong(server, manifest_of, entry_of, tmp_path):
    manifest = manifest_of(entry_of(BODY, server.serve("/a", BODY)))
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "a.bin").write_bytes(BODY[:-1] + b"x")
    (file,) = fetch(manifest, tmp_path)
    assert file.status == "downloaded" and file.path.read_bytes() == BODY


def test_sha1_alone_and_names_with_folders_are_enough(server, manifest_of, entry_of, tmp_path):
    sha1 = hashlib.sha1(BODY).hexdigest()
    entry = entry_of(BODY, server.serve("/a", BODY), name="sub/a.bin", sha256=None, sha1=sha1, size=None)
    (file,) = fetch(manifest_of(entry), tmp_path)
    assert file.digest == f"sha1:{sha1}" and (tmp_path / "toy" / "sub" / "a.bin").read_bytes() == BODY


def test_data_without_files_need_no_folder(manifest_of, tmp_path):
    assert fetch(manifest_of(simulated=True), tmp_path / "absent") == []
    assert not (tmp_path / "absent").exists()


def test_progress_goes_to_standard_error(server, manifest_of, entry_of, tmp_path, capsys):
    manifest = manifest_of(entry_of(BODY, server.serve("/a", BODY)))
    fetch(manifest, tmp_path, progress=True)
    shown = capsys.readouterr()
    assert shown.out == "" and "a.bin" in shown.err and "100%" in shown.err


def test_the_downloader_works_inside_pooch(server, tmp_path):
    digest = hashlib.sha256(BODY).hexdigest()
    downloader = ResumingDownloader("toy", Expectation(len(BODY), ("sha256", digest), "the manifest"))
    url = server.serve("/a", BODY)
    path = pooch.retrieve(url, known_hash=digest, fname="a.bin", path=tmp_path, downloader=downloader)
    assert (tmp_path / "a.bin").samefile(path) and (tmp_path / "a.bin").read_bytes() == BODY


# --- cut connections


@pytest.mark.parametrize("with_size", [True, False])
def test_resumes_after_a_cut(server, manifest_of, entry_of, tmp_path, with_size):
    changes = {} if with_size else {"size": None}
    manifest = manifest_of(entry_of(BODY, server.serve("/a", BODY, cut_after=HALF), **changes))
    with pytest.raises(DataFileError, match=rf"of {len(BODY)} bytes - run the same command to go on") as caught:
        fetch(manifest, tmp_path)
    assert names_in(tmp_path / "toy") == [LOCK_NAME, "a.bin.part"]
    kept = size_of_part(tmp_path)
    assert 0 < kept <= HALF and f"cut after {kept} of" in caught.value.found
    (file,) = fetch(manifest, tmp_path)
    assert file.path.read_bytes() == BODY
    assert server.requests == [("/a", None), ("/a", f"bytes={kept}-")]


def test_starts_over_where_the_server_knows_no_ranges(server, manifest_of, entry_of, tmp_path):
    manifest = manifest_of(entry_of(BODY, server.serve("/a", BODY, cut_after=HALF, knows_ranges=False)))
    with pytest.raises(DataFileError, match="cut after"):
        fetch(manifest, tmp_path)
    kept = size_of_part(tmp_path)
    (file,) = fetch(manifest, tmp_path)
    assert file.path.read_bytes() == BODY and server.requests[1] == ("/a", f"bytes={kept}-")


def test_starts_over_where_the_server_sends_another_range(server, manifest_of, entry_of, tmp_path):
    manifest = manifest_of(entry_of(BODY, server.serve("/a", BODY, cut_after=HALF, range_shift=10)))
    with pytest.raises(DataFileError, match="cut after"):
        fetch(manifest, tmp_path)
    (file,) = fetch(manifest, tmp_path)
    assert file.path.read_bytes() == BODY and server.requests[-1] == ("/a", None)


def test_a_cut_is_noticed_without_any_announced_length(server, manifest_of, entry_of, tmp_path):
    url = server.serve("/a", BODY, cut_after=HALF, announce_length=False)
    with pytest.raises(DataFileError, match=rf"cut after \d+ of {len(BODY)} bytes"):
        fetch(manifest_of(entry_of(BODY, url)), tmp_path)


@pytest.mark.parametrize("with_size", [True, False])
def test_a_complete_part_is_not_downloaded_again(server, manifest_of, entry_of, tmp_path, with_size):
    changes = {} if with_size else {"size": None}
    manifest = manifest_of(entry_of(BODY, server.serve("/a", BODY), **changes))
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "a.bin.part").write_bytes(BODY)
    (file,) = fetch(manifest, tmp_path)
    assert file.path.read_bytes() == BODY
    assert server.requests == ([] if with_size else [("/a", f"bytes={len(BODY)}-")])


@pytest.mark.parametrize("with_size", [True, False])
def test_a_part_that_is_too_long_is_started_over(server, manifest_of, entry_of, tmp_path, with_size):
    changes = {} if with_size else {"size": None}
    manifest = manifest_of(entry_of(BODY, server.serve("/a", BODY), **changes))
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "a.bin.part").write_bytes(BODY + b"more")
    (file,) = fetch(manifest, tmp_path)
    assert file.path.read_bytes() == BODY and server.requests[-1] == ("/a", None)


@pytest.mark.parametrize("had", [b"of an older version", BODY[:HALF] + bytes(100)])  # zeros: after a power failure
def test_a_part_of_other_bytes_is_found_and_the_file_is_downloaded_from_its_beginning(
    server, manifest_of, entry_of, tmp_path, had
):
    manifest = manifest_of(entry_of(BODY, server.serve("/a", BODY)))
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "a.bin.part").write_bytes(had)
    (file,) = fetch(manifest, tmp_path)
    assert file.path.read_bytes() == BODY
    assert server.requests == [("/a", f"bytes={len(had)}-"), ("/a", None)]
    assert names_in(tmp_path / "toy") == [LOCK_NAME, "a.bin"]


def test_a_part_survives_an_error_of_the_server(server, manifest_of, entry_of, tmp_path):
    manifest = manifest_of(entry_of(BODY, server.serve("/a", BODY, cut_after=HALF)))
    with pytest.raises(DataFileError, match="cut after"):
        fetch(manifest, tmp_path)
    kept = size_of_part(tmp_path)
    server.pages["/a"].status = 503
    with pytest.raises(DataFileError, match="answered 503"):
        fetch(manifest, tmp_path)
    assert size_of_part(tmp_path) == kept > 0


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_download_goes_on(server, manifest_of, entry_of, tmp_path):
    entry = entry_of(BODY, server.serve("/a", BODY, hold_after=HALF))
    process = fetch_in_a_process(entry, tmp_path)
    part = tmp_path / "toy" / "a.bin.part"
    try:
        deadline = time.monotonic() + 20
        while not (part.exists() and part.stat().st_size > 0):
            assert time.monotonic() < deadline and process.poll() is None, "the download did not begin"
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    server.pages["/a"].released.set()
    (file,) = fetch(manifest_of(entry), tmp_path)
    assert file.path.read_bytes() == BODY
    first = int(server.requests[1][1].removeprefix("bytes=").removesuffix("-"))
    assert 0 < first <= HALF


# --- wrong answers


def test_wrong_bytes_are_named_and_not_kept(server, manifest_of, entry_of, tmp_path):
    wrong = BODY[::-1]
    manifest = manifest_of(entry_of(BODY, server.serve("/a", wrong)))
    expected, found = (hashlib.sha256(body).hexdigest() for body in (BODY, wrong))
    with pytest.raises(HashMismatchError, match=rf"(?s)a\.bin .*sha256 {expected}.*found sha256 {found} at http"):
        fetch(manifest, tmp_path)
    assert names_in(tmp_path / "toy") == [LOCK_NAME]


@pytest.mark.parametrize("announce_length", [True, False])
def test_too_many_bytes_are_stopped(server, manifest_of, entry_of, tmp_path, announce_length):
    url = server.serve("/a", BODY + b"x" * 10**6, announce_length=announce_length)
    found = "found 2024000 bytes" if announce_length else f"found more than {len(BODY)} bytes"
    with pytest.raises(HashMismatchError, match=found):
        fetch(manifest_of(entry_of(BODY, url)), tmp_path)
    assert names_in(tmp_path / "toy") == [LOCK_NAME]


def test_a_source_that_became_shorter_is_not_taken_for_a_cut(server, manifest_of, entry_of, tmp_path):
    manifest = manifest_of(entry_of(BODY, server.serve("/a", BODY[:HALF])))
    with pytest.raises(HashMismatchError, match=f"{len(BODY)} bytes.*found {HALF} bytes"):
        fetch(manifest, tmp_path)


def test_an_error_answer_names_address_and_remedy(server, manifest_of, entry_of, tmp_path):
    url = server.serve("/a", b"", status=404)
    with pytest.raises(DataFileError, match=rf"{url} answered 404 .*neurofit data fetch toy --from DIR"):
        fetch(manifest_of(entry_of(BODY, url)), tmp_path)


def test_an_unreachable_host_names_address_and_remedy(manifest_of, entry_of, tmp_path, server):
    server.server_close()  # nobody listens at this port any more
    url = server.url("/a")
    with pytest.raises(DataFileError, match=rf"{url} could not be reached \(ConnectionError\).*--from DIR"):
        fetch(manifest_of(entry_of(BODY, url)), tmp_path)


def test_a_redirect_to_an_unsafe_address_is_refused(server, manifest_of, entry_of, tmp_path, monkeypatch):
    url = server.serve("/a", b"", redirect=server.serve("/b", BODY))
    monkeypatch.setattr("neurofit.files.fetch.is_safe_url", lambda address: address == url)
    with pytest.raises(DataFileError, match=rf"{url} leads to .*/b, which is not an https address"):
        fetch(manifest_of(entry_of(BODY, url)), tmp_path)


def test_a_file_without_an_address_asks_for_a_folder(manifest_of, entry_of, tmp_path):
    with pytest.raises(DataFileError, match=r"its manifest gives none.*--from DIR"):
        fetch(manifest_of(entry_of(BODY)), tmp_path)


# --- files whose hash nobody knows


def test_an_unknown_hash_is_trusted_once_and_held_to(server, manifest_of, entry_of, tmp_path):
    manifest = manifest_of(entry_of(BODY, server.serve("/a", BODY), **UNKNOWN))
    (first,) = fetch(manifest, tmp_path)
    assert first.status == "trusted on first use" and (tmp_path / "toy" / FIRST_SEEN_NAME).is_file()
    (second,) = fetch(manifest, tmp_path)
    assert second.status == "already there" and second.digest == first.digest
    first.path.unlink()
    server.pages["/a"].body = BODY[::-1]
    with pytest.raises(HashMismatchError, match=rf"file that {FIRST_SEEN_NAME} describes.*take its entry out"):
        fetch(manifest, tmp_path)
    server.pages["/a"].body = BODY
    (third,) = fetch(manifest, tmp_path)
    assert third.status == "downloaded" and third.digest == first.digest


def test_several_unknown_hashes_share_a_ledger(server, manifest_of, entry_of, tmp_path):
    bodies = {"a.bin": BODY, "b.bin": BODY[::-1]}
    entries = [entry_of(body, server.serve(f"/{name}", body), name=name, **UNKNOWN) for name, body in bodies.items()]
    fetch(manifest_of(*entries), tmp_path)
    assert [file.status for file in check(manifest_of(*entries), tmp_path)] == ["ok", "ok"]


def test_a_download_without_a_hash_starts_over_after_a_cut(server, manifest_of, entry_of, tmp_path):
    manifest = manifest_of(entry_of(BODY, server.serve("/a", BODY, cut_after=HALF), **UNKNOWN))
    with pytest.raises(DataFileError, match="to start again"):
        fetch(manifest, tmp_path)
    server.pages["/a"].body = BODY[::-1]  # a new version must not be glued to the old one's first half
    (file,) = fetch(manifest, tmp_path)
    assert file.path.read_bytes() == BODY[::-1] and server.requests[1] == ("/a", None)


def test_a_broken_ledger_is_not_ignored(server, manifest_of, entry_of, tmp_path):
    manifest = manifest_of(entry_of(BODY, server.serve("/a", BODY), **UNKNOWN))
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / FIRST_SEEN_NAME).write_text('{"a.bin": 3}')
    with pytest.raises(DataFileError, match="ledger of first sights"):
        fetch(manifest, tmp_path)


# --- files of which only the least and the greatest size are known


def ranged(low, high):
    return UNKNOWN | {"size_min": low, "size_max": high}


@pytest.mark.parametrize("announce_length", [True, False])
@pytest.mark.parametrize("size", [10, 15, 20])
def test_a_size_between_the_bounds_is_trusted_and_then_held_to(
    server, manifest_of, entry_of, tmp_path, size, announce_length
):
    url = server.serve("/a", BODY[:size], announce_length=announce_length)
    manifest = manifest_of(entry_of(BODY, url, **ranged(10, 20)))
    assert [file.status for file in fetch(manifest, tmp_path)] == ["trusted on first use"]
    server.serve("/a", BODY[: size - 1])
    (tmp_path / "toy" / "a.bin").unlink()
    with pytest.raises(
        HashMismatchError, match=rf"{FIRST_SEEN_NAME} describes .*, {size} bytes\) - found {size - 1} bytes"
    ):
        fetch(manifest, tmp_path)


@pytest.mark.parametrize("announce_length", [True, False])
@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ((1001, None), "at least 1001 bytes"),
        ((None, 999), "at most 999 bytes"),
        ((7, 8), "at least 7 and at most 8 bytes"),
    ],
)
def test_a_size_out_of_bounds_is_refused_and_not_kept(
    server, manifest_of, entry_of, tmp_path, bounds, words, announce_length
):
    url = server.serve("/a", BODY[:1000], announce_length=announce_length)
    with pytest.raises(
        HashMismatchError, match=rf"the manifest describes \({words}\) - found (1000|more than (999|8)) bytes"
    ):
        fetch(manifest_of(entry_of(BODY, url, **ranged(*bounds))), tmp_path)
    assert names_in(tmp_path / "toy") == [LOCK_NAME]


def test_an_endless_answer_is_stopped_at_the_greatest_size(server, manifest_of, entry_of, tmp_path):
    url = server.serve("/a", BODY, announce_length=False)
    with pytest.raises(HashMismatchError, match="found more than 1000 bytes"):
        fetch(manifest_of(entry_of(BODY, url, **ranged(1, 1000))), tmp_path)


# --- several at once, and folders that cannot be written to


def fetch_in_a_process(entry, folder):
    """Start `fetch` of one entry in a process of its own."""
    program = (
        "import sys; from pathlib import Path\n"
        "from neurofit.files.fetch import fetch\n"
        "from neurofit.files.manifest import FileEntry, Manifest\n"
        "name, url, size, sha256, folder = sys.argv[1:]\n"
        "entry = FileEntry(name, 'images', url, size=int(size), sha256=sha256)\n"
        "fetch(Manifest('toy', 't', 'stimuli', 'CC0', 'c', 's', files=(entry,)), Path(folder))\n"
    )
    arguments = [entry.name, entry.url, str(entry.size), entry.sha256, str(folder)]
    return subprocess.Popen([sys.executable, "-c", program, *arguments], env=os.environ)


def test_two_processes_download_once(server, entry_of, tmp_path):
    entry = entry_of(BODY, server.serve("/a", BODY))
    processes = [fetch_in_a_process(entry, tmp_path) for _ in range(2)]
    assert [process.wait(timeout=30) for process in processes] == [0, 0]
    assert (tmp_path / "toy" / "a.bin").read_bytes() == BODY and len(server.requests) == 1
    assert names_in(tmp_path / "toy") == [LOCK_NAME, "a.bin"]


def test_threads_download_once_and_lose_no_first_sight(server, manifest_of, entry_of, tmp_path):
    names = ("a.bin", "b.bin", "c.bin")
    manifests = [
        manifest_of(entry_of(BODY, server.serve(f"/{name}", BODY), name=name, **UNKNOWN))
        for name in names
        for _ in range(2)
    ]
    start = threading.Barrier(len(manifests))

    def fetch_together(manifest):
        start.wait()
        return fetch(manifest, tmp_path)

    with ThreadPoolExecutor(len(manifests)) as pool:
        results = list(pool.map(fetch_together, manifests))
    assert sorted(file.status for (file,) in results) == ["already there"] * 3 + ["trusted on first use"] * 3
    assert len(server.requests) == 3
    assert [file.status for manifest in manifests for file in check(manifest, tmp_path)] == ["ok"] * 6


def test_a_folder_that_cannot_be_made_is_an_output_error(manifest_of, entry_of, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match=r"file/data/toy: Not a directory - give another folder"):
        fetch(manifest_of(entry_of(BODY)), tmp_path / "file" / "data")
