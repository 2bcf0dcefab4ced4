"""A strategy of one's own: jobs run on a concurrent.futures executor, at most so many at a time."""

from __future__ import annotations

import logging
import socket
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Thread

from handlers import StreamRequestHandler
from reactor import Reactor, TCPServer
from strategies import Job, Saturated, Strategy


class OnExecutor(Strategy):
    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.places = deque(range(workers))
        self.executor = ThreadPoolExecutor(workers)  # starts no thread before the first job

    def has_room(self) -> bool:
        return bool(self.places)

    def submit(self, job: Job) -> None:
        if not self.places:
            raise Saturated
        self.places.pop()
        self.executor.submit(job.run).add_done_callback(self.ended)

    def ended(self, future: Future[None]) -> None:  # on the worker's thread, all the rest on the loop's
        if error := future.exception():  # a handler's SystemExit, say: an executor would keep it to itself
            logging.error("a job ended with %r", error)
        self.places.append(0)
        self.tell_room()

    def end(self, done: Callable[[], object]) -> None:
        executor, self.executor = self.executor, ThreadPoolExecutor(self.workers)

        def wait(post: Callable[..., object]) -> None:  # beside the loop, which has to turn meanwhile
            executor.shutdown()
            post(done)

        if self.host is None:  # ended already
            done()
        else:
            Thread(target=wait, args=(self.host.post,)).start()

    def abandon(self) -> None:  # in a forked child, which has none of the threads
        super().abandon()
        self.places = deque(range(self.workers))
        self.executor = ThreadPoolExecutor(self.workers)


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
