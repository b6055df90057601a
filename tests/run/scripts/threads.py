import sys
import threading


def work():
    ready.wait()
    print("thread")


ready = threading.Event()
threading.Thread(target=work).start()
print("main", flush=True)
ready.set()
