import contextlib
import io
import sys

with contextlib.redirect_stdout(io.StringIO()) as kept:
    print("kept")
print(kept.getvalue().upper(), end="")
sys.stdout = sys.stderr
print("error")
sys.stdout = sys.__stdout__
print("out")
