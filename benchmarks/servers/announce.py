"""How a runner tells that it listens, and what every runner has in common."""

HOST = "127.0.0.1"
BACKLOG = 1024  # above the 64 clients of any workload, else SYN retransmission is what is measured
RECV = 65536  # below 128 KiB: from there on malloc maps and unmaps memory at every call


def announce(port: int) -> None:
    """Print the bound port; the parent waits for this line before it starts any load."""
    print(port, flush=True)
