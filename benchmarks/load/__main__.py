"""`python -m benchmarks.load KIND PORT CONCURRENCY SIZE CORES`: a load generator, told what to do on its input.

Each line "SECONDS LIMIT" is one run, answered by one line of JSON. Warm-up and measurement are two runs of
one process, on the same connections, so its start costs neither. Ends with its input.
"""

import json
import signal
import sys
import time

from benchmarks import cores
from benchmarks.load.conn import Conn
from benchmarks.load.echo import Echo
from benchmarks.load.udp import Udp

KINDS: dict[str, type[Conn] | type[Echo] | type[Udp]] = {"conn": Conn, "echo": Echo, "udp": Udp}
LIFETIME_S = 180  # arbitrary, above any sample


def main(argv: list[str]) -> None:
    """Serve runs until standard input ends; the arguments come from load_process.py, not from a person."""
    kind, port, concurrency, size, core_list = argv
    cores.pin(core_list)
    signal.alarm(LIFETIME_S)
    load = KINDS[kind](int(port), int(concurrency), int(size))
    print("ready", flush=True)
    for line in sys.stdin:
        seconds, limit = line.split()
        cpu, wall = time.process_time(), time.perf_counter()
        tally = load.run(float(seconds), int(limit))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        result = {
            "done": tally.done,
            "errors": tally.errors,
            "lost": tally.lost,
            "wall_s": wall,
            "cpu_s": cpu,
            "p50_us": tally.percentile_us(0.50),
            "p99_us": tally.percentile_us(0.99),
        }
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
