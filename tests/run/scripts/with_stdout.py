import sys

out = None
with open(out, "w") if out else sys.stdout as f:
    f.write("row 1\n")
