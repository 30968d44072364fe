"""What `neurofit doctor` asks of a machine: versions, devices, threads, and whether the numbers come out right."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import neurofit

State = Literal["ok", "absent", "broken", "unknown"]

OLDEST_PYTHON = (3, 11)

EXTRAS = {
    "train": ("lightning-fabric", "tensorboardX"),
    "search": ("lightning-fabric", "optuna"),
    "timm": ("timm",),
    "torchvision": ("torchvision",),
    "r": ("pyreadr",),
    "nwb": ("pynwb",),
    "dask": ("dask-jobqueue", "distributed"),
}
"""What can be installed besides, and the packages in it; a test holds it against pyproject.toml."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")

_GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """One line of what was found.

    Parameters
    ----------
    section, name : str
    state : str
        'ok'; 'absent', where what is optional is not there; 'broken', where what is needed is; 'unknown', where a
        probe could not tell, for a reason that `text` gives.
    text : str
        In words.
    remedy : str
        What to do about it, where something can be done.
    facts : mapping
        The same for programs.
    """

    section: str
    name: str
    state: State
    text: str
    remedy: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


Probe = Callable[[], Iterable[Finding]]


def probed(section: str, name: str, probe: Probe, failed: State = "unknown", remedy: str = "") -> list[Finding]:
    """Return what a probe finds; one that raises an error found that, and `failed` is what it means."""
    try:
        return list(probe())
    except Exception as error:
        text = " ".join(str(error).split()) or "no more is said"
        return [Finding(section, name, failed, f"{type(error).__name__}: {text}", remedy)]


def versions() -> Iterator[Finding]:
    """Yield neurofit, Python, the platform, and every package that neurofit needs."""
    from neurofit.report.record import git_revision

    revision = git_revision()
    place = Path(neurofit.__file__).parent
    told = f"{neurofit.__version__}" + (f", revision {revision[:12]}" if revision else "")
    told += ", with changes" if revision and revision.endswith("+changes") else ""
    facts = {"version": neurofit.__version__, "git_revision": revision, "folder": str(place)}
    yield Finding("versions", "neurofit", "ok", f"{told}, in {place}", facts=facts)
    yield _python()
    yield Finding("versions", "platform", "ok", platform.platform(), facts={"machine": platform.machine()})
    yield from probed("versions", "packages", _packages)


def _python() -> Finding:
    old = sys.version_info < OLDEST_PYTHON
    needed = ".".join(map(str, OLDEST_PYTHON))
    return Finding(
        "versions", "python", "broken" if old else "ok", f"{platform.python_version()}, {sys.executable}",
        f"install Python {needed} or newer" if old else "",
        {"version": platform.python_version(), "executable": sys.executable},
    )  # fmt: skip


def _packages() -> Iterator[Finding]:
    """Yield the packages that neurofit cannot do without, by what its own metadata say."""
    from packaging.requirements import Requirement

    for line in metadata.requires("neurofit") or []:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        remedy = f"pip install '{requirement.name}{requirement.specifier}'"
        try:
            found = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield Finding("versions", requirement.name, "broken", "not installed", remedy)
            continue
        fits = requirement.specifier.contains(found, prereleases=True)
        text = found if fits else f"{found}, which is not {requirement.specifier}"
        facts = {"version": found, "needed": str(requirement.specifier)}
        yield Finding("versions", requirement.name, "ok" if fits else "broken", text, "" if fits else remedy, facts)


def extras() -> Iterator[Finding]:
    """Yield what can be installed besides, and how."""
    for extra, packages in EXTRAS.items():
        found = {package: _version(package) for package in packages}
        missing = [package for package, version in found.items() if version is None]
        there = [f"{package} {version}" for package, version in found.items() if version is not None]
        text = ", ".join([*there, *([f"without {', '.join(missing)}"] if there and missing else [])]) or "not installed"
        remedy = f"pip install 'neurofit[{extra}]'" if missing else ""
        yield Finding("extras", extra, "absent" if missing else "ok", text, remedy, {"versions": found})


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def processor() -> Iterator[Finding]:
    """Yield the cores that can be used."""
    from neurofit.files.machine import cores

    found = cores()
    text = f"{found.usable} of {found.total} cores can be used"
    if found.allowed < found.total:
        text += f"; affinity allows {found.allowed}"
    if found.quota is not None:
        text += f"; a control group grants {found.quota:g}"
    facts = {"usable": found.usable, "total": found.total, "allowed": found.allowed, "quota": found.quota}
    yield Finding("devices", "cpu", "ok", text, facts=facts)


def memory() -> Iterator[Finding]:
    """Yield the memory that there is and that is left."""
    from neurofit.files.machine import memory as of_machine

    found = of_machine()
    free = "free unknown" if found.free is None else f"{_gib(found.free)} free"
    text = f"{free} of {_gib(found.total)}"
    if found.limit is not None:
        text += f"; a control group allows {_gib(found.limit)}"
    facts = {"total": found.total, "free": found.free, "limit": found.limit}
    yield Finding("devices", "memory", "ok", text, facts=facts)


def accelerators() -> Iterator[Finding]:
    """Yield the devices of torch's besides the CPU, each with a small sum computed on it."""
    import torch

    if not torch.cuda.is_available():
        text = f"none that torch {torch.__version__} can use"
        driver = Path("/proc/driver/nvidia/version").exists()
        remedy = "a GPU's driver is here: install a torch with CUDA, see https://pytorch.org" if driver else ""
        yield Finding("devices", "cuda", "absent", text, remedy)
    for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        yield from probed("devices", f"cuda:{i}", lambda i=i: [_cuda(i)], "broken", "compute with --device cpu")  # type: ignore[misc]
    if torch.backends.mps.is_available():
        yield from probed("devices", "mps", lambda: [_mps()], "broken", "compute with --device cpu")
    else:
        yield Finding("devices", "mps", "absent", "none (Apple's GPUs)")


def _cuda(i: int) -> Finding:
    import torch

    free, total = torch.cuda.mem_get_info(i)
    check_convolution(f"cuda:{i}")
    name = torch.cuda.get_device_name(i)
    facts = {"name": name, "free": free, "total": total, "cuda": torch.version.cuda}
    return Finding("devices", f"cuda:{i}", "ok", f"{name}, {_gib(free)} free of {_gib(total)}; works", facts=facts)


def _mps() -> Finding:
    import torch

    check_convolution("mps")
    total = torch.mps.recommended_max_memory()
    return Finding("devices", "mps", "ok", f"Apple's GPU, {_gib(total)} at most; works", facts={"total": total})


def threads() -> Iterator[Finding]:
    """Yield the threads that torch and the linear algebra use, and the variables that say so."""
    import numpy as np
    import torch
    from threadpoolctl import threadpool_info

    from neurofit.files.machine import cores

    usable = cores().usable
    np.linalg.eigvalsh(np.eye(2))  # SciPy's and NumPy's libraries are found once they are loaded
    said = {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}
    text = ", ".join(f"{name}={value}" for name, value in said.items()) or f"none set ({', '.join(THREAD_VARIABLES)})"
    yield Finding("threads", "environment", "ok", text, facts=said)
    used = torch.get_num_threads()
    remedy = f"export OMP_NUM_THREADS={usable}: more threads than cores wait for one another" if used > usable else ""
    facts = {"threads": used, "interop": torch.get_num_interop_threads()}
    yield Finding("threads", "torch", "ok", _of_threads(used), remedy, facts)
    for pool in threadpool_info():
        kind = pool["internal_api"]
        told = (
            f"{_of_threads(pool['num_threads'])}, version {pool['version'] or 'unknown'}, {Path(pool['filepath']).name}"
        )
        yield Finding("threads", kind, "ok", told, facts={k: v for k, v in pool.items() if k != "filepath"})


def _of_threads(number: int) -> str:
    return f"{number} thread{'s' * (number != 1)}"


def self_tests() -> Iterator[Finding]:
    """Yield whether numbers that are known in closed form come out: of PLS, of torch, of a bundled network."""
    tests: dict[str, tuple[Callable[[], str], str]] = {
        "PLS": (_check_pls, "install numpy and scipy again"),
        "torch": (lambda: check_convolution("cpu"), "install torch again"),
        "network": (_check_network, "install neurofit again: its bundled weights do not load"),
    }
    for name, (test, remedy) in tests.items():
        yield from probed(
            "self-tests", name, lambda name=name, test=test: [Finding("self-tests", name, "ok", test())],  # type: ignore[misc]
            "broken", remedy,
        )  # fmt: skip


def _check_pls() -> str:
    """Fit PLS with all components, which is least squares."""
    import numpy as np

    from neurofit.mapping.estimators import PLSMapping

    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(24, 4)), rng.normal(size=(24, 3))
    centred, responses = X - X.mean(0), Y - Y.mean(0)
    expected = np.linalg.lstsq(centred, responses, rcond=None)[0]
    found = PLSMapping(4).fit(X, Y).coef_.T
    _check_close("PLS with all components is least squares", float(np.abs(found - expected).max()), 1e-9)
    return "works: with all components it is least squares"


def check_convolution(device: str) -> str:
    """Convolve ones with ones on a device: every inner pixel is the number of taps.

    Raises
    ------
    ArithmeticError
        If it is not.
    """
    import torch

    ones = torch.ones((1, 3, 8, 8), device=device)
    found = torch.nn.functional.conv2d(ones, torch.ones((2, 3, 3, 3), device=device))
    _check_close("a convolution of ones counts its taps", float((found - 27).abs().max()), 1e-3)
    return "works: a convolution of ones counts its taps"


def _check_network() -> str:
    """Show the bundled recurrent network nothing but grey; all it answers is finite."""
    import torch

    from neurofit.models.network import READOUT
    from neurofit.models.zoo import load_model

    model = load_model("rgc")
    size = model.entry.preprocessing.size_px
    with torch.inference_mode():
        answer = model.network([torch.zeros((1, 3, size, size))] * 10, [READOUT])[READOUT]
    _check_close("a network's answer to a grey image is finite", float((~answer.isfinite()).sum()), 0)
    return f"works: rgc answers {answer.shape[1]} steps with finite numbers"


def _check_close(promise: str, difference: float, most: float) -> None:
    if not difference <= most:  # a NaN is not
        raise ArithmeticError(f"{promise}, here it is off by {difference:g}")


def _gib(size: int) -> str:
    return f"{size / _GIB:.1f} GiB"
