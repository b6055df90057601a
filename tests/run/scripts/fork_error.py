import os

if os.fork() == 0:
    1 / 0
_, status = os.wait()
print("parent", os.waitstatus_to_exitcode(status))
