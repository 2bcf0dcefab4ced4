"""Interleaved loopback measurements of this project against other socket servers; see README.md."""
