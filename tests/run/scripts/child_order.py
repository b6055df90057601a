import os
import subprocess
import sys

for n in range(3):
    print("a", n, flush=True)
    subprocess.run([sys.executable, "-c", f'print("child {n}")'], check=True)
    print("b", n, flush=True)
    os.system("echo system")
    os.write(1, b"write\n")
    subprocess.run([sys.executable, "-c", 'print("given")'], stdout=sys.stdout, check=True)
    os.system("echo error >&2")
print("end")
