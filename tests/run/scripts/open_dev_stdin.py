# stdin: '\xe9\n'
from pathlib import Path

print(Path("/dev/stdin").read_bytes())
