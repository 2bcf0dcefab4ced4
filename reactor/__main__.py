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
except KeyboardInterrupt:
    sys.exit(130)  # as main() has it

if __name__ == "__main__":
    sys.exit(main())
