# stdin: "one\ntwo\n"
# What is opened beside sys.stdin is another file: its end is not the end of sys.stdin.
import gc
import sys

open("/dev/stdin").close()
with open("/dev/stdin", "rb") as file:
    print(file.closed, file.readable())
print(file.closed)
del file
open("/dev/fd/0")
gc.collect()
print(sys.stdin.closed)
print(sys.stdin.read())
