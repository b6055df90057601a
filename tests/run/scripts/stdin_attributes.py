# stdin: 'x'
import sys

print(sys.stdin.encoding, sys.stdin.name, sys.stdin.mode, sys.stdin.isatty(), sys.stdin.closed)
print(sys.stdin.buffer.peek(1)[:1], sys.stdin.read(1), repr(sys.stdin.read(1)))
