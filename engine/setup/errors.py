"""Errors of the set-up, each with its mend, and the table that reads them out of pip's words."""

from __future__ import annotations

import re


class SetupError(Exception):
    """Something that keeps Graft from being installed: what it is, and what to do about it."""

    def __init__(self, kind: str, message: str, mend: str) -> None:
        super().__init__(f"{message} {mend}")
        self.kind = kind
        self.message = message
        self.mend = mend


class SetupCancelled(Exception):
    """The person stopped the installation; it can be taken up again."""


LOG_HINT = "The whole output is in .setup/log.txt."

# In this order: a full disk or a closed network also ends in "No matching distribution".
_SIGNS: tuple[tuple[str, str, str, str], ...] = (
    (
        "space",
        r"No space left on device|Errno 28|WinError 112|not enough space on the disk",
        "The disk is full.",
        "Free some gigabytes and start again: what was downloaded is kept.",
    ),
    (
        "long_path",
        r"Windows Long Path support|WinError 206",
        "Windows allows no path this long.",
        "Move the Graft folder nearer to the drive's root, such as C:\\Graft, and start again.",
    ),
    (
        "tls",
        r"CERTIFICATE_VERIFY_FAILED|SSLError|SSLCertVerificationError|ssl module .* not available",
        "The package index's certificate could not be checked.",
        "Behind a company's proxy set PIP_CERT to its certificate file; else check the clock.",
    ),
    (
        "login",
        r"\b40[137] (Client Error|Unauthorized|Forbidden|Proxy Auth)"
        r"|Proxy Authentication Required|Tunnel connection failed: 40[37]|^User for ",
        "The package index or the proxy asks for a login.",
        "Put the login into pip's own settings (pip config) or HTTPS_PROXY, then start again.",
    ),
    (
        "network",
        r"NewConnectionError|ConnectTimeout|ReadTimeout|NameResolutionError|getaddrinfo failed"
        r"|Name or service not known|Temporary failure in name resolution|Network is unreachable"
        r"|Connection (refused|aborted|reset)|ConnectionResetError|Max retries exceeded"
        r"|RemoteDisconnected|ProtocolError|IncompleteRead|incomplete-download|50[0234] Server"
        r"|connection was interrupted|Failed to connect|Unable to connect",
        "The package index cannot be reached.",
        "Check the internet connection (or HTTPS_PROXY) and start again: nothing is lost.",
    ),
    (
        "damaged",
        r"DO NOT MATCH THE HASHES|HashMismatch|has an invalid wheel|BadZipFile|zipfile\.",
        "A download arrived damaged.",
        "Start again; it will be downloaded anew.",
    ),
    (
        "permission",
        r"Permission denied|PermissionError|WinError (5|32)\b|Access is denied",
        "A file in .venv cannot be written.",
        "Close every other Graft window, make sure the folder is yours, and start again.",
    ),
    (
        "conflict",
        r"conflicting dependencies|\(constraint\)",
        "A setting of pip on this machine forbids a version that Graft needs.",
        "Look for a constraint in `python3 -m pip config list` or PIP_CONSTRAINT and lift it.",
    ),
)
_NO_WHEEL = re.compile(
    r"No matching distribution found for (?P<what>\S+)"
    r"|Could not find a version that satisfies the requirement (?P<what2>\S+)"
    r"|(?P<what3>\S+\.whl) is not a supported wheel|requires a different Python"
)


def from_pip(output: str, python: tuple[int, int], arch: str) -> SetupError:
    """Turn what a failed pip printed into an error that says what to do."""
    for kind, pattern, message, mend in _SIGNS:
        if re.search(pattern, output, re.MULTILINE):
            return SetupError(kind, message, f"{mend} {LOG_HINT}")
    if found := _NO_WHEEL.search(output):
        what = found["what"] or found["what2"] or found["what3"] or "one of the packages"
        return SetupError(
            "no_wheel",
            f"There is no {what} for Python {python[0]}.{python[1]} on {arch}.",
            f"Graft is tested on Python {PYTHONS_TOLD}: install one of these, delete .venv and "
            f"start again with it, or with uv: {UV_LINE}. {LOG_HINT}",
        )
    last = next(
        (line for line in reversed(output.splitlines()) if line.strip().startswith("ERROR")),
        "ERROR: it gave no reason",
    )
    return SetupError(
        "pip", f"pip failed: {last.strip().removeprefix('ERROR: ')}.", f"Start again. {LOG_HINT}"
    )


PYTHONS = ((3, 11), (3, 14))
"""Oldest and newest Python that every pinned package has wheels for."""
PYTHONS_TOLD = "3.11 to 3.14"
UV_LINE = "uv run --no-project --python 3.13 main.py"
