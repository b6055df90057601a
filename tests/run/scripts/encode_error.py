import sys

print("\udce9", file=sys.stderr)
print("before")
print("\udce9")
