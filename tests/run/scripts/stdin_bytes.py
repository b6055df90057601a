# stdin: '\x00\xe9\n\nlast'
import sys

print(sys.stdin.buffer.readline())
print(sys.stdin.buffer.read())
print(sys.stdin.buffer.read())
