"""The websocket library, which a thread imports while TCP connects."""

import subprocess
import sys

PROGRAM = """
import importlib.abc, sys, threading, time
from jrc.kernel.link import _import_websocket, _not_opened

here, there = threading.Event(), threading.Event()

class Slow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if threading.current_thread() is not threading.main_thread():
            there.set()
        elif name == "websockets.frames":
            here.set()
            there.wait(0.5)
            time.sleep(0.2)
        return None

def imports():
    here.wait(30)
    _import_websocket()

sys.meta_path.insert(0, Slow())
thread = threading.Thread(target=imports)
thread.start()
print(_not_opened(ConnectionRefusedError("refused"), "ws://h/", 1.0))
thread.join()
"""
"""The two threads meet in the library's circle of imports."""


def test_a_connection_that_fails_during_the_import_is_explained() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, encoding="utf-8", timeout=90
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Can't open the websocket ws://h/: refused.\n"
