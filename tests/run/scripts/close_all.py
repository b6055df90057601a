import sys

print("one", flush=True)
print("two", file=sys.stderr)
sys.stdin.close()
sys.stderr.close()
sys.stdout.close()
