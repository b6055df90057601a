import sys

sys.stdout.reconfigure(line_buffering=True, encoding="utf-8")
sys.stderr.reconfigure(errors="backslashreplace")
print("ok")
