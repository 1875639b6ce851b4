#!/bin/sh
# Starts Graft on Linux: by a double click, from the menu, or in a terminal with arguments.
here=$(dirname "$(readlink -f "$0")")

# The first start installs for a while: show that in a terminal if there is none yet.
if [ ! -t 2 ] && [ -z "$GRAFT_TERMINAL" ] && [ ! -f "$here/.venv/graft-window.json" ]; then
    export GRAFT_TERMINAL=1
    for terminal in x-terminal-emulator konsole xfce4-terminal xterm; do
        command -v "$terminal" >/dev/null 2>&1 && exec "$terminal" -e "$here/graft.sh"
    done
    command -v gnome-terminal >/dev/null 2>&1 && exec gnome-terminal --wait -- "$here/graft.sh"
fi

if command -v python3 >/dev/null 2>&1; then
    python3 "$here/main.py" "$@"
    code=$?
else
    echo "Graft needs Python 3.11 or newer: install it with your system's packages" >&2
    echo "(Debian, Ubuntu: sudo apt install python3 python3-venv)." >&2
    code=1
fi
if [ "$code" -ne 0 ] && [ -n "$GRAFT_TERMINAL" ]; then
    printf 'Press Enter to close. '
    read -r _
fi
exit "$code"
