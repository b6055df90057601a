import atexit, sys


def late(text):
    print("late", text)


atexit.register(late, 1)
atexit.register(late, 2)


@atexit.register
def third():
    sys.stderr.write("third\n")


atexit.register(print, "never")
atexit.unregister(print)
sys.exit(4)
