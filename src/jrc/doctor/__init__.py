"""The doctor: looks at everything between a person and a kernel, one check after the other."""
