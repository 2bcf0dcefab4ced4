"""The load generator: one thread, an epoll loop, a process of its own."""
