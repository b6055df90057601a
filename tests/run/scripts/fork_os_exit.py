import os

if os.fork() == 0:
    print("child", flush=True)
    os._exit(3)
_, status = os.wait()
print("parent", os.waitstatus_to_exitcode(status))
