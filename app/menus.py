"""The menus and shortcuts (spec: gui 3.3); every action has a role, so macOS moves none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QAction, QActionGroup, QKeySequence
from PySide6.QtWidgets import QApplication, QLineEdit, QMenu, QPlainTextEdit

from app.field_text import FieldText
from app.file_commands import FileCommands
from app.help_pages import HelpPages
from app.marked_fields import go_to_marked, reset_focused
from app.preset_store import PresetStore
from app.theme import Choice, switch
from app.window import MainWindow

Slot = Callable[[], object]


@dataclass(frozen=True)
class Entry:
    """An entry that another part of the window puts into a menu."""

    key: str
    text: str
    slot: Slot
    shortcut: str = ""


class Menus(QObject):
    """All menus of the window. `send` sends a word of the protocol to the engine.

    Signals:
        preferences_asked: the preferences are wanted.
    """

    preferences_asked = Signal()

    def __init__(
        self, window: MainWindow, files: FileCommands, texts: FieldText, pages: HelpPages,
        send: Callable[[str], object], run_demo: Slot,
    ) -> None:  # fmt: skip
        super().__init__(window)
        self._window, self._files, self._texts = window, files, texts
        self._help, self._send, self._run_demo = pages, send, run_demo
        self.actions: dict[str, QAction] = {}
        bar = window.title_row.menu_bar
        self._menus: dict[str, QMenu] = {}
        self._room: dict[str, QAction] = {}  # of a menu: where further entries go, before it
        for name, title, fill in (
            ("file", self.tr("&File"), self._file_menu),
            ("edit", self.tr("&Edit"), self._edit_menu),
            ("view", self.tr("&View"), self._view_menu),
            ("run", self.tr("&Run"), self._run_menu),
            ("tools", self.tr("&Tools"), self._tools_menu),
            ("help", self.tr("&Help"), self._help_menu),
        ):
            self._menus[name] = bar.addMenu(title)
            fill(self._menus[name])
        window.form.row_menu_asked.connect(self._show_row_menu)

    def _add(
        self, menu: QMenu, key: str, text: str, slot: Slot, shortcut: str | list[str] = "",
        role: QAction.MenuRole = QAction.MenuRole.NoRole, *, checkable: bool = False,
    ) -> QAction:  # fmt: skip
        action = QAction(text, self)
        action.setMenuRole(role)
        action.setCheckable(checkable)
        keys = [shortcut] if isinstance(shortcut, str) else shortcut
        action.setShortcuts([QKeySequence(k) for k in keys if k])
        action.triggered.connect(lambda _=False: slot())
        menu.addAction(action)
        self._window.addAction(action)
        self.actions[key] = action
        return action

    def add_menus(self, name: str, entries: Sequence[Entry | None]) -> None:
        """Put entries into a menu ("file", "edit", "view", "run", "tools", "help"); None parts.

        In File they stand over Quit, in Tools over Doctor, elsewhere at the end.
        """
        menu, before = self._menus[name], self._room.get(name)
        for entry in entries:
            if entry is None:
                menu.insertSeparator(before) if before is not None else menu.addSeparator()
                continue
            action = self._add(menu, entry.key, entry.text, entry.slot, entry.shortcut)
            if before is not None:
                menu.removeAction(action)
                menu.insertAction(before, action)

    # -- File ------------------------------------------------------------------------------

    def _file_menu(self, menu: QMenu) -> None:
        files = self._files
        self._new_menu = menu.addMenu(self.tr("New from preset"))
        self._new_menu.aboutToShow.connect(self._fill_new_menu)
        self._add(menu, "new", self.tr("New"), files.new, "Ctrl+N")
        self._add(menu, "open", self.tr("Open job…"), files.open, "Ctrl+O")
        self._add(menu, "open_run", self.tr("Open run folder…"), files.open_run)
        self._recent_menu = menu.addMenu(self.tr("Recent"))
        self._recent_menu.aboutToShow.connect(self._fill_recent_menu)
        menu.addSeparator()
        self._add(menu, "save", self.tr("Save"), files.save, "Ctrl+S")
        self._add(menu, "save_as", self.tr("Save as…"), files.save_as)
        presets = menu.addMenu(self.tr("Presets"))
        presets.aboutToShow.connect(self._refresh_preset_actions)
        add = self._add
        add(presets, "save_preset", self.tr("Save as preset…"), files.save_preset, "Ctrl+Shift+S")
        add(presets, "rename_preset", self.tr("Rename…"), files.rename_preset)
        add(presets, "delete_preset", self.tr("Delete…"), files.delete_preset)
        presets.addSeparator()
        add(presets, "import_preset", self.tr("Import…"), files.import_preset)
        add(presets, "export_preset", self.tr("Export…"), files.export_preset)
        self._room["file"] = menu.addSeparator()
        self._add(
            menu, "quit", self.tr("Quit"), self._window.close, "Ctrl+Q", QAction.MenuRole.QuitRole
        )

    def _fill_new_menu(self) -> None:
        self._new_menu.clear()
        store: PresetStore = self._window.store
        for preset in store.all(self._window.document.architecture):
            memory = f"   {preset.memory}" if preset.memory else ""
            action = self._new_menu.addAction(preset.name + memory)
            action.setToolTip(preset.description)
            action.triggered.connect(lambda _=False, p=preset: self._files.new(p))

    def _fill_recent_menu(self) -> None:
        self._recent_menu.clear()
        paths = self._window.settings.recent("job")
        for path in paths:
            action = self._recent_menu.addAction(path)
            action.triggered.connect(lambda _=False, p=path: self._files.open_job(Path(p)))
        if not paths:
            self._recent_menu.addAction(self.tr("No jobs yet")).setEnabled(False)

    def _refresh_preset_actions(self) -> None:
        own = self._window.document.preset
        mine = own.path is not None and not own.built_in
        self.actions["rename_preset"].setEnabled(mine)
        self.actions["delete_preset"].setEnabled(mine)

    # -- Edit ------------------------------------------------------------------------------

    def _edit_menu(self, menu: QMenu) -> None:
        stack = self._window.document.undo_stack
        add = self._add
        add(menu, "undo", self.tr("Undo"), self._undo, "Ctrl+Z")
        add(menu, "redo", self.tr("Redo"), self._redo, ["Ctrl+Shift+Z", "Ctrl+Y"])
        stack.undoTextChanged.connect(self._on_undo_text)
        stack.redoTextChanged.connect(self._on_redo_text)
        menu.addSeparator()
        for key, text, name in (
            ("cut", self.tr("Cut"), "cut"), ("copy", self.tr("Copy"), "copy"),
            ("paste", self.tr("Paste"), "paste"),
        ):  # fmt: skip
            add(menu, key, text, lambda n=name: self._on_text(n))
        menu.addSeparator()
        texts = self._texts
        add(menu, "copy_field", self.tr("Copy field as TOML"), texts.copy_focused, "Ctrl+Shift+C")
        add(menu, "copy_changes", self.tr("Copy changes as TOML"), texts.copy_changes)
        add(menu, "paste_settings", self.tr("Paste settings…"), texts.ask_paste, "Ctrl+Shift+V")
        menu.addSeparator()
        pane, form = self._window.pane, self._window.form
        add(menu, "find", self.tr("Find option"), pane.go_to_search, "Ctrl+F")
        add(menu, "reset", self.tr("Reset field"), lambda: reset_focused(form),
            "Ctrl+Backspace")  # fmt: skip
        add(menu, "next", self.tr("Next changed or wrong field"),
            lambda: go_to_marked(form, 1), "Alt+Down")  # fmt: skip
        add(menu, "previous", self.tr("Previous changed or wrong field"),
            lambda: go_to_marked(form, -1), "Alt+Up")  # fmt: skip
        menu.addSeparator()
        add(menu, "preferences", self.tr("Preferences…"), self.preferences_asked.emit, "Ctrl+,",
            QAction.MenuRole.PreferencesRole)  # fmt: skip

    def _on_undo_text(self, text: str) -> None:
        self.actions["undo"].setText(self.tr("Undo %s") % text)

    def _on_redo_text(self, text: str) -> None:
        self.actions["redo"].setText(self.tr("Redo %s") % text)

    def _undo(self) -> None:
        self._window.document.undo_stack.undo()

    def _redo(self) -> None:
        self._window.document.undo_stack.redo()

    def _on_text(self, name: str) -> None:
        widget = QApplication.focusWidget()
        if isinstance(widget, QLineEdit | QPlainTextEdit):
            getattr(widget, name)()

    # -- View ------------------------------------------------------------------------------

    def _view_menu(self, menu: QMenu) -> None:
        window, pane = self._window, self._window.pane
        add = self._add
        depth = add(menu, "all", self.tr("All options"),
                    lambda: pane.set_shows_all(not window.form.shows_all), "Ctrl+Shift+A",
                    checkable=True)  # fmt: skip
        changed = add(menu, "changed", self.tr("Changed only"), self._toggle_changed,
                      checkable=True)  # fmt: skip
        fold = add(menu, "fold", self.tr("Fold the form"), window.fold_form, "Ctrl+B",
                   checkable=True)  # fmt: skip
        menu.aboutToShow.connect(lambda: depth.setChecked(window.form.shows_all))
        menu.aboutToShow.connect(lambda: changed.setChecked(window.form.filter == "changed"))
        menu.aboutToShow.connect(lambda: fold.setChecked(pane.is_folded))
        menu.addSeparator()
        self._tabs_menu = menu.addMenu(self.tr("Page"))
        menu.addSeparator()
        theme = menu.addMenu(self.tr("Theme"))
        group = QActionGroup(self)
        choices: tuple[tuple[Choice, str], ...] = (
            ("system", self.tr("System")), ("light", self.tr("Light")), ("dark", self.tr("Dark")),
        )  # fmt: skip
        for choice, text in choices:
            action = add(theme, f"theme_{choice}", text,
                         lambda c=choice: switch().apply(c), checkable=True)  # fmt: skip
            group.addAction(action)
            action.setChecked(switch().choice == choice)
        size = menu.addMenu(self.tr("Text size"))
        add(size, "larger", self.tr("Larger"), lambda: self._text_size(10), ["Ctrl++", "Ctrl+="])
        add(size, "smaller", self.tr("Smaller"), lambda: self._text_size(-10), "Ctrl+-")
        add(size, "usual_size", self.tr("Usual"), lambda: switch().apply(text_percent=100),
            "Ctrl+0")  # fmt: skip
        add(menu, "reset_layout", self.tr("Reset layout"), window.reset_layout)

    def _toggle_changed(self) -> None:
        form = self._window.form
        form.set_filter("none" if form.filter == "changed" else "changed")

    def _text_size(self, by: int) -> None:
        switch().apply(text_percent=switch().text_percent + by)

    def add_pages(self) -> None:
        """List the work area's pages, once they are there."""
        work = self._window.work
        for i, key in enumerate(work.page_keys(), 1):
            title = work.tabs.title(key)
            self._add(self._tabs_menu, f"page_{key}", title, lambda k=key: self._show_page(k),
                      f"Alt+{i}")  # fmt: skip

    def _show_page(self, key: str) -> None:
        self._window.work.hide_overlay()
        self._window.work.show_page(key)

    # -- Run, Tools, Help ------------------------------------------------------------------

    def _run_menu(self, menu: QMenu) -> None:
        window, add = self._window, self._add
        train = add(menu, "train", self.tr("Train"), window.train, ["Ctrl+Return", "Ctrl+Enter"])
        add(menu, "queue", self.tr("Add to queue"), window.queue, "Ctrl+Shift+Return")
        menu.addSeparator()
        for key, text, word, shortcut in (
            ("pause", self.tr("Pause or go on"), "pause", "F8"),
            ("sample", self.tr("Sample now"), "sample", "F6"),
            ("save_now", self.tr("Save now"), "save", "F7"),
            ("stop", self.tr("Stop and save"), "stop", "Ctrl+."),
        ):
            add(menu, key, text, lambda w=word: self._send(w), shortcut)
        menu.aboutToShow.connect(lambda: train.setEnabled(window.can_train))

    def set_running(self, running: bool) -> None:
        """Offer what only makes sense while an engine works."""
        for key in ("pause", "sample", "save_now", "stop"):
            self.actions[key].setEnabled(running)

    def _tools_menu(self, menu: QMenu) -> None:
        self._room["tools"] = self._add(menu, "doctor", self.tr("Doctor"), self._help.doctor)

    def _help_menu(self, menu: QMenu) -> None:
        add = self._add
        add(menu, "field_help", self.tr("Field help"), self._window.pane.help.toggle, "F1")
        add(menu, "demo", self.tr("Run the demo"), self._run_demo)
        add(menu, "shortcuts", self.tr("Shortcuts"), self._show_shortcuts)
        add(menu, "about", self.tr("About Graft"), self._help.about, "",
            QAction.MenuRole.AboutRole)  # fmt: skip

    def _show_shortcuts(self) -> None:
        lines = []
        for action in self.actions.values():
            keys = ", ".join(k.toString(QKeySequence.SequenceFormat.NativeText)
                             for k in action.shortcuts())  # fmt: skip
            if keys:
                lines.append(f"{keys:<28}{action.text().replace('&', '')}")
        self._help.show_text(self.tr("Shortcuts"), "\n".join(lines))

    def _show_row_menu(self, path: str, position: object) -> None:
        menu = QMenu(self._window)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for text, slot in self._texts.row_entries(path):
            menu.addAction(text).triggered.connect(lambda _=False, s=slot: s())
        menu.popup(position)  # pyright: ignore[reportArgumentType]
