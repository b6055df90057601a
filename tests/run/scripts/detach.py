import sys

print(
    sys.stdout.encoding,
    sys.stdout.errors,
    sys.stdout.isatty(),
    sys.stdout.mode if hasattr(sys.stdout, "mode") else None,
    sys.stdout.name,
    sys.stdout.line_buffering,
    sys.stdout.newlines,
    sys.stdout.fileno() >= 0,
)
