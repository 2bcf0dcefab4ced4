"""``python -m reactor``."""

import sys

try:
    from reactor.cli import main
except ImportError as error:
    if error.name != "handlers":
        raise
    # A handlers.py of the user's in the current directory: reactor.neighbours has said all of it in one line.
    print(f"reactor: error: {error}", file=sys.stderr)
    sys.exit(2)
except KeyboardInterrupt:  # main() has the same for what comes later
    print("reactor: interrupted", file=sys.stderr)
    sys.exit(130)

if __name__ == "__main__":
    sys.exit(main())
