import atexit, tempfile, os

atexit.register(print, "bye from atexit")
print("main")
