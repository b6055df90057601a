"""Jupyter messages and their frames. Pure: no I/O, no clock, no other room."""
