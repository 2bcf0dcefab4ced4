"""Two hundred open connections and two threads: a connection that waits for its client waits in the selector."""

from __future__ import annotations

import contextlib
import socket
import threading

from handlers import CLOSE, PARK, Turn, TurnHandler
from reactor import TCPServer
from strategies import ThreadPool

CLIENTS = 200


class Counter(TurnHandler):
    """Adds up the numbers that its client sends, one per line."""

    timeout = 5.0  # seconds that half a line may keep a thread waiting
    idle_timeout = 300.0  # seconds that a connection may stay parked

    def setup(self) -> None:
        super().setup()
        self.total = 0

    def handle(self) -> Turn:
        line = self.rfile.readline()
        if not line:
            return CLOSE
        self.total += int(line)
        self.wfile.write(b"%d\n" % self.total)
        return PARK


class Server(TCPServer):
    request_queue_size = CLIENTS


def main() -> None:
    with Server(("127.0.0.1", 0), Counter, strategy=ThreadPool(2)) as server, contextlib.ExitStack() as opened:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        opened.callback(serving.join)
        opened.callback(server.shutdown)
        clients = [opened.enter_context(socket.create_connection(server.server_address)) for _ in range(CLIENTS)]
        for number in (1, 20, 300):
            for client in clients:
                client.sendall(b"%d\n" % number)
            answers = {client.recv(100) for client in clients}
            print(f"{CLIENTS} clients sent {number}, each was told {b', '.join(answers).decode().strip()}")
        pool = sum(thread.name.startswith("ThreadPool") for thread in threading.enumerate())
        print(f"{len(clients)} connections are open; the pool has {pool} threads")


if __name__ == "__main__":
    main()
