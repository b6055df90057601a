import os
import subprocess
import sys
import threading

sys.stdout.write("begun")
sys.stdout.flush()
os.system("echo child")
sys.stdout.write(" é ")
print("end", end="\r")
print("again", flush=True)
subprocess.run([sys.executable, "-c", "print('given')"], check=True)
threads = [threading.Thread(target=sys.stdout.write, args=("x" * 100 + "\n",)) for _ in range(20)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.stdout.write("no end")
