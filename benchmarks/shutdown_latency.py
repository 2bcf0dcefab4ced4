"""`python -m benchmarks.shutdown_latency SUBJECT MODE COUNT`: ms that shutdown() takes on another thread.

A process of its own, told by measures/shutdown.py; prints the times as one line of JSON.
"""

import importlib
import json
import socket
import sys
import threading
import time
from typing import Any

POLL_S = 0.5  # the standard library's poll_interval: the calls are spread evenly over one
STUCK_S = 10.0


def _time_ms(server: Any, delay_s: float) -> float:
    """Serve one request, wait `delay_s`, and time shutdown()."""
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with socket.create_connection(server.server_address, timeout=5.0) as sock:
        sock.sendall(b"hello\n")
        sock.recv(64)
    time.sleep(delay_s)
    began = time.perf_counter()
    server.shutdown()
    took = time.perf_counter() - began
    thread.join(STUCK_S)
    if thread.is_alive():
        raise RuntimeError("serve_forever did not return after shutdown()")
    server.server_close()
    return took * 1000


def main(argv: list[str]) -> None:
    """Time COUNT shutdowns; the arguments come from measures/shutdown.py, not from a person."""
    subject, mode, count = argv[0], argv[1], int(argv[2])
    build = importlib.import_module(f"benchmarks.servers.{subject}_server").build
    print(
        json.dumps([_time_ms(build(mode), POLL_S * (step + 0.5) / count) for step in range(count)]),
        flush=True,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
