"""Faults that take no time: a folder that many commands try at once."""

import subprocess
import sys
import threading

from neurofit.cli.options import writable
from neurofit.errors import OutputError


def test_trying_a_folder_leaves_nothing(tmp_path):
    assert writable(tmp_path / "out") == tmp_path / "out"
    assert list((tmp_path / "out").iterdir()) == []


def test_many_commands_may_try_one_folder_at_once(tmp_path):
    failed = []

    def often():
        for _ in range(50):
            try:
                writable(tmp_path)
            except OutputError as error:
                failed.append(str(error))

    threads = [threading.Thread(target=often) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


INTERRUPTED = """
import signal, sys
import runpy

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "neurofit.cli.score":
            signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Interrupting())
runpy.run_module("neurofit", run_name="__main__")
"""


def test_an_interrupt_while_the_command_is_loaded_is_told_like_any_other():
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "neurofit: interrupted\n")
