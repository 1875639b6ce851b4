"""Area C: pages under tabs, the run's header and notices above them, or one page over all."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QScrollArea, QStackedWidget, QVBoxLayout, QWidget

from app.widgets.notice import Notice
from app.widgets.tabs import TabRow
from app.widgets.toast import Toast


class WorkArea(QWidget):
    """Hosts the pages.

    Signals:
        page_shown: key of the page that is seen now.
    """

    page_shown = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMinimumWidth(520)
        self._pages: dict[str, QWidget] = {}
        self._overlay: QWidget | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        self._top = QVBoxLayout()
        self._top.setSpacing(0)
        column.addLayout(self._top)
        self._notices = QVBoxLayout()
        self._notices.setSpacing(0)
        column.addLayout(self._notices)
        self.tabs = TabRow(self)
        self.tabs.chosen.connect(self._on_tab_chosen)
        column.addWidget(self.tabs)
        self.stack = QStackedWidget(self)
        column.addWidget(self.stack, 1)
        self.toast = Toast(self)

    def add_page(self, key: str, title: str, page: QWidget, *, scrolls: bool = True) -> None:
        """Add a page and its tab; a page that does not scroll by itself lies in a scroll area."""
        self.tabs.add_tab(key, title)
        shown = page
        if scrolls:
            area = QScrollArea(self.stack)
            area.setFrameShape(QFrame.Shape.NoFrame)
            area.setWidgetResizable(True)
            area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            area.setWidget(page)
            shown = area
        self._pages[key] = shown
        self.stack.addWidget(shown)

    def page_keys(self) -> list[str]:
        """The pages in the order of their tabs."""
        return self.tabs.keys()

    @property
    def current(self) -> str:
        """Key of the page under the chosen tab."""
        return self.tabs.current

    def show_page(self, key: str) -> None:
        """Bring a page to the front."""
        if key in self._pages:
            self.tabs.set_current(key)
            if self._overlay is None:
                self.stack.setCurrentWidget(self._pages[key])
            self.page_shown.emit(key)

    def _on_tab_chosen(self, key: str) -> None:
        self.hide_overlay()
        self.show_page(key)

    def show_overlay(self, page: QWidget) -> None:
        """Show one page instead of tabs and pages, as at the first start."""
        if self.stack.indexOf(page) < 0 and not self._is_wrapped(page):
            area = QScrollArea(self.stack)
            area.setFrameShape(QFrame.Shape.NoFrame)
            area.setWidgetResizable(True)
            area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            area.setWidget(page)
            self.stack.addWidget(area)
        self._overlay = page
        self.tabs.hide()
        self.stack.setCurrentWidget(self._wrapper(page))

    def _is_wrapped(self, page: QWidget) -> bool:
        return self._wrapper(page) is not page

    def _wrapper(self, page: QWidget) -> QWidget:
        for i in range(self.stack.count()):
            area = self.stack.widget(i)
            if isinstance(area, QScrollArea) and area.widget() is page:
                return area
        return page

    @property
    def overlay(self) -> QWidget | None:
        """The page over all, if there is one."""
        return self._overlay

    def hide_overlay(self) -> None:
        """Back to tabs and pages."""
        if self._overlay is not None:
            self._overlay = None
            self.tabs.show()
            key = self.tabs.current
            if key in self._pages:
                self.stack.setCurrentWidget(self._pages[key])

    def set_top(self, widget: QWidget) -> None:
        """Put the run's header over notices and tabs; it shows and hides itself."""
        self._top.addWidget(widget)

    def add_notice(self, notice: Notice) -> None:
        """Show a notice until it is closed."""
        self._notices.addWidget(notice)
        notice.closed.connect(notice.hide)
        notice.closed.connect(notice.deleteLater)
        notice.show()
