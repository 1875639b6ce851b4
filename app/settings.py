"""What the window remembers between starts, and where: places on disk, QSettings, recent files."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PySide6.QtCore import QSettings

MAX_RECENT = 12


@dataclass(frozen=True)
class Places:
    """Folders of this user: `config` for presets and settings, `state` for the session."""

    config: Path
    state: Path

    @property
    def presets(self) -> Path:
        """The user's own presets."""
        return self.config / "presets"

    @property
    def session(self) -> Path:
        """The job being edited, saved a second after each change."""
        return self.state / "session.toml"


def places() -> Places:
    """The user's folders; the environment variable GRAFT_HOME puts them all under one."""
    home = os.environ.get("GRAFT_HOME")
    if home:
        return Places(Path(home) / "config", Path(home) / "state")
    import platformdirs

    found = platformdirs.PlatformDirs("graft", appauthor=False)
    return Places(Path(found.user_config_dir), Path(found.user_data_dir))


class Settings:
    """Geometry, theme, tab, recents. Values are kept as JSON text, so that types survive.

    QSettings gives 'false' for False and None for an empty list from a file (spec: gui 3.2).
    """

    def __init__(self, path: Path | None = None) -> None:
        path = path or places().config / "window.ini"
        self._store = QSettings(str(path), QSettings.Format.IniFormat)

    def get(self, key: str, default: Any) -> Any:
        """The value of `key`, or `default` if there is none of the default's type."""
        text = self._store.value(key)
        if not isinstance(text, str):
            return default
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            return default
        if default is not None and not isinstance(value, type(default)):
            return default
        return value

    def set(self, key: str, value: Any) -> None:
        """Remember a value that JSON can hold."""
        self._store.setValue(key, json.dumps(value))

    def get_bytes(self, key: str) -> bytes:
        """Bytes such as a window's geometry; empty if there are none."""
        try:
            return bytes.fromhex(self.get(key, ""))
        except ValueError:
            return b""

    def set_bytes(self, key: str, value: bytes) -> None:
        """Remember bytes."""
        self.set(key, value.hex())

    def recent(self, kind: str) -> list[str]:
        """Recent paths of a kind ("job", or a field's path), newest first."""
        return [p for p in self.get(f"recent/{kind}", []) if isinstance(p, str)]

    def add_recent(self, kind: str, path: str) -> None:
        """Put a path to the front of its recents."""
        others = [p for p in self.recent(kind) if p != path]
        self.set(f"recent/{kind}", [path, *others][:MAX_RECENT])

    def sync(self) -> None:
        """Write to disk now."""
        self._store.sync()
