import subprocess
import sys

import pytest

pytest.importorskip("resource")

HARDLY_ANY = """
import resource
from neurofit.kernel.blas_buffers import take_blas_buffers
here = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (here + 2**23, here + 2**23))
try:
    take_blas_buffers()
except MemoryError:
    print("told")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="address spaces are limited there")
def test_too_little_memory_for_linear_algebra_is_told_and_not_waited_for():
    ended = subprocess.run([sys.executable, "-c", HARDLY_ANY], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.stdout.strip(), ended.returncode) == ("told", 0), ended.stderr
