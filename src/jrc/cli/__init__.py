"""The command line: one module a command, thin; one Terminal; one error boundary."""
