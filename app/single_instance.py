"""One window a person: a second start hands its file over and leaves."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QDeadlineTimer, QLockFile, QObject, Signal

if TYPE_CHECKING:  # loaded when needed: the lock alone tells whether a window may open
    from PySide6.QtNetwork import QLocalServer, QLocalSocket

WAIT_MS = 1500
START_MS = 5000  # that the first start may take until it listens


class SingleInstance(QObject):
    """Holds the lock and listens for later starts.

    Signals:
        asked: the arguments of a second start.
    """

    asked = Signal(list)

    def __init__(self, folder: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        folder.mkdir(parents=True, exist_ok=True)
        self._name = "graft-" + hashlib.sha256(str(folder).encode()).hexdigest()[:16]
        self._lock = QLockFile(str(folder / "window.lock"))
        self._lock.setStaleLockTime(0)  # a lock is stale only when its process is gone
        self._sockets: list[QLocalSocket] = []
        self._server: QLocalServer | None = None

    def claim(self) -> bool:
        """Become the one instance; False if another one lives."""
        return self._lock.tryLock(0)

    def listen(self) -> None:
        """Hear later starts from now on; those that came before wait for it."""
        from PySide6.QtNetwork import QLocalServer

        self._server = QLocalServer(self)
        self._server.setSocketOptions(QLocalServer.SocketOption.UserAccessOption)
        self._server.newConnection.connect(self._on_new_connection)
        QLocalServer.removeServer(self._name)
        self._server.listen(self._name)

    def hand_over(self, arguments: Sequence[str]) -> bool:
        """Send this start's arguments to the living instance, which may still be starting."""
        from PySide6.QtNetwork import QLocalSocket

        socket, deadline = QLocalSocket(), QDeadlineTimer(START_MS)
        socket.connectToServer(self._name)
        while not socket.waitForConnected(WAIT_MS):
            if deadline.hasExpired():
                return False
            time.sleep(0.05)
            socket.connectToServer(self._name)
        socket.write(json.dumps(list(arguments)).encode() + b"\n")
        sent = socket.waitForBytesWritten(WAIT_MS)
        socket.disconnectFromServer()
        return sent

    def _on_new_connection(self) -> None:
        socket = self._server.nextPendingConnection() if self._server is not None else None
        if socket is not None:
            self._sockets.append(socket)
            socket.readyRead.connect(self._read)
            self._read()

    def _read(self) -> None:
        """Take the lines of those that have said everything."""
        for socket in [s for s in self._sockets if s.canReadLine()]:
            self._sockets.remove(socket)
            text = bytes(socket.readLine().data())
            socket.readyRead.disconnect(self._read)
            socket.disconnectFromServer()
            try:
                arguments = json.loads(text)
            except (json.JSONDecodeError, UnicodeDecodeError):
                arguments = []
            self.asked.emit([str(a) for a in arguments if isinstance(a, str)])

    def release(self) -> None:
        """Let the next start in."""
        if self._server is not None:
            self._server.close()
        self._lock.unlock()
