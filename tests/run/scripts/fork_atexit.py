import atexit
import os
import sys

atexit.register(lambda: print("bye", os.getpid() == parent, flush=True))
parent = os.getpid()
if os.fork() == 0:
    print("child", flush=True)
    sys.exit(7)
_, status = os.wait()
print("parent", os.waitstatus_to_exitcode(status), flush=True)
