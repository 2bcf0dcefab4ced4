"""What one run of a load generator counted."""

from dataclasses import dataclass, field


@dataclass
class Tally:
    """Counts of finished requests and what went wrong; latencies in ns."""

    done: int = 0
    errors: int = 0
    lost: int = 0
    latencies_ns: list[int] = field(default_factory=list)

    def percentile_us(self, share: float) -> float:
        """The latency that `share` (0 to 1) of the requests did not exceed, in us; 0 without requests."""
        if not self.latencies_ns:
            return 0.0
        ordered = sorted(self.latencies_ns)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] / 1000
