# stdin: ''
import sys

print(sys.stdin.read() == "", sys.stdin.isatty())
