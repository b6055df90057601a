# stdin: 'abc\ndef\n'
import sys

n = 0
for line in sys.stdin:
    n += 1
print("lines", n)
