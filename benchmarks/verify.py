"""``python -m benchmarks.verify WORKLOAD EXECUTED``: print how complete an executed notebook is.

A process of its own: the peak memory of a measured process starts at that of the harness, which
must therefore never hold a large notebook.
"""

import sys
from pathlib import Path

from benchmarks.workloads import WORKLOADS, completeness


def main() -> None:
    name, executed = sys.argv[1:]
    (workload,) = (workload for workload in WORKLOADS if workload.name == name)
    print(completeness(workload, Path(executed)))


if __name__ == "__main__":
    main()
