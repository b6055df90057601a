import sys

print("one")
sys.stdout.close()
print("two")
