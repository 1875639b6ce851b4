"""A row of buttons settles: asking for its size must not ask for a new layout."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject
from PySide6.QtTest import QTest

from app.widgets.button_row import ButtonRow, RowButton


class Counter(QObject):
    """Counts the layout requests that reach a widget."""

    count = 0

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.LayoutRequest:
            self.count += 1
        return False


def test_a_shown_row_comes_to_rest(qtbot):
    row = ButtonRow([RowButton("Pause", icon="pause")], [RowButton("Stop and save", icon="stop")])
    qtbot.addWidget(row)
    row.resize(300, 40)
    row.show()
    QTest.qWait(50)
    counter = Counter()
    row.installEventFilter(counter)
    QTest.qWait(200)
    assert counter.count == 0


def test_words_go_before_more_room_is_asked_for(qtbot):
    wide, narrow = RowButton("Pause", icon="pause"), RowButton("Stop and save", icon="stop")
    row = ButtonRow([wide], [narrow])
    qtbot.addWidget(row)
    row.resize(400, 40)
    row.show()
    QTest.qWait(20)
    assert (wide.text(), narrow.text()) == ("Pause", "Stop and save")
    row.setFixedWidth(row.minimumSizeHint().width())
    QTest.qWait(20)
    assert (wide.text(), narrow.text()) == ("", "")
    assert narrow.toolTip() == "Stop and save"
