# stdin: 'one\ntwo\nthree\nfour\n'
import sys

print(input())
print(sys.stdin.readline().strip())
print([line.strip() for line in sys.stdin])
