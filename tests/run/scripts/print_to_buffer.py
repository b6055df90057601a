import sys

for n in range(3):
    sys.stdout.buffer.write(b"\xe2")
    sys.stdout.buffer.write(b"\x98\x83 %d\n" % n)
    sys.stdout.buffer.flush()
sys.stderr.buffer.write(b"error\n")
