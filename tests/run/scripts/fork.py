import os, sys

pid = os.fork()
if pid == 0:
    print("child", flush=True)
else:
    os.waitpid(pid, 0)
    print("parent", flush=True)
