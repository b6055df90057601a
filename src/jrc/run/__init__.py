"""One execution of a document: cells to the kernel, outputs back, a notebook at the end."""
