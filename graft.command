#!/bin/sh
# Starts Graft on macOS by a double click.
here=$(cd "$(dirname "$0")" && pwd)

if command -v python3 >/dev/null 2>&1; then
    python3 "$here/main.py" "$@"
    code=$?
else
    echo "Graft needs Python 3.11 or newer: install it from https://www.python.org/downloads/"
    code=1
fi
if [ "$code" -ne 0 ]; then
    printf 'Press Return to close. '
    read -r _
fi
exit "$code"
