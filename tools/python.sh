#!/bin/sh
# Print a command that runs Python $1 (3.12, say), or exit 1. A name on PATH is no proof: a pyenv shim may be there for
# a version that is not chosen and fail, so each candidate is run.
set -u

runs() {
    "$1" -c "import sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" >/dev/null 2>&1
}

version=$1
set -- "python$version" python3
if command -v pyenv >/dev/null 2>&1; then
    # Not quoted on purpose: the patch version is for the shell to fill in.
    set -- "$@" "$(pyenv root)"/versions/"$version".*/bin/python
fi
if command -v uv >/dev/null 2>&1; then
    set -- "$@" "$(uv python find --no-python-downloads "$version" 2>/dev/null)"
fi
for candidate; do
    if runs "$candidate"; then
        echo "$candidate"
        exit 0
    fi
done
exit 1
