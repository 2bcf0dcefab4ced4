"""A strategy of one's own: jobs run on a concurrent.futures executor, at most so many at a time."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from handlers import StreamRequestHandler
from reactor import Reactor, TCPServer
from strategies import Endpoint, Host, Job, Saturated, Strategy


class OnExecutor(Strategy):
    def __init__(self, workers: int) -> None:
        self.workers, self.busy = workers, 0

    def open(self, host: Host, endpoints: Sequence[Endpoint]) -> None:
        self.executor = ThreadPoolExecutor(self.workers)
        super().open(host, endpoints)  # accept in this loop

    def has_room(self) -> bool:
        return self.busy < self.workers

    def submit(self, job: Job) -> None:
        if not self.has_room():
            raise Saturated
        self.busy += 1
        self.executor.submit(job.run).add_done_callback(self.ended)

    def ended(self, future: Future[None]) -> None:  # on the worker's thread, so only post
        if self.host is not None:
            self.host.post(self.free)

    def free(self) -> None:  # on the loop's thread, as all the rest
        self.busy -= 1
        self.tell_room()

    def end(self, done: Callable[[], object]) -> None:
        self.executor.shutdown()  # no job is left: this joins idle threads
        done()


class Upper(StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


def main() -> None:
    """Serve, and be one's own client."""
    with Reactor() as reactor:
        server = reactor.add(TCPServer(("127.0.0.1", 0), Upper, strategy=OnExecutor(4)))
        client = socket.create_connection(server.server_address)
        client.sendall(b"hello\n")

        def answered() -> None:
            print(client.recv(100).decode(), end="")
            reactor.stop()

        reactor.watch(client, answered)
        with client:
            reactor.run()


if __name__ == "__main__":
    main()
