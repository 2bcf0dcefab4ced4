"""`python -m benchmarks.servers SUBJECT MODE CORES`: pins itself, prints its port, serves until it is ended.

Imports as little as it can: memory in use here makes every fork of the `fork` workload dearer.
"""

import importlib
import signal
import sys

from benchmarks import cores

LIFETIME_S = 180  # arbitrary, above any sample: nothing is left behind when the parent is killed outright


def main(argv: list[str]) -> None:
    """Run one server; the arguments come from server_process.py, not from a person."""
    subject, mode, core_list = argv
    cores.pin(core_list)
    signal.alarm(LIFETIME_S)  # no handler: the kernel ends the process
    importlib.import_module(f"benchmarks.servers.{subject}_server").serve(mode)


if __name__ == "__main__":
    main(sys.argv[1:])
