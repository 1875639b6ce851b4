"""The block editor: painting, keys and lists (gui 7.14)."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtTest import QTest

from app import block_values as tools
from app.block_values import conv_is_on, edits, effective, modules_by_block, text_of, values_of
from app.widgets.block_geometry import Bars
from app.widgets.blocks import BlockEditor
from engine.schema.architectures import ARCHITECTURES
from engine.schema.options import set_at

BLOCKS = ARCHITECTURES["sd1"].blocks
DATA = {"model": {"architecture": "sd1"}, "network": {"rank": 16}}


@pytest.fixture
def editor(qtbot):
    widget = BlockEditor()
    qtbot.addWidget(widget)
    widget.resize(790, 300)
    modules = modules_by_block("sd1")
    live = tuple(m.count("linear", conv_on=True) > 0 for m in modules)
    conv = tuple(m.conv > 0 for m in modules)
    widget.show_layer(
        BLOCKS, "rank", {"linear": Bars((16.0,) * 25, live), "conv": Bars((0.0,) * 25, conv)}
    )
    widget.show()
    return widget


def point(editor, side, index, value) -> QPoint:
    """Where a click paints that value."""
    geometry = editor._geometry()
    y = value * geometry.px_per_value
    at = geometry.base - y if side == "linear" else geometry.base + 40 + y
    return QPointF(geometry.column(index).center().x(), at).toPoint()


def drag(editor, side, start, end, modifier=Qt.KeyboardModifier.NoModifier):
    button = Qt.MouseButton.LeftButton
    QTest.mousePress(editor, button, modifier, point(editor, side, *start))
    for index in range(start[0] + 1, end[0] + 1):
        share = (index - start[0]) / (end[0] - start[0])
        at = point(editor, side, index, start[1] + share * (end[1] - start[1]))
        event_at = editor.mapToGlobal(at)
        _move(editor, at, event_at, modifier)
    QTest.mouseRelease(editor, button, modifier, point(editor, side, *end))


def _move(editor, at, global_at, modifier):
    from PySide6.QtCore import QEvent
    from PySide6.QtGui import QMouseEvent

    event = QMouseEvent(
        QEvent.Type.MouseMove, QPointF(at), QPointF(global_at), Qt.MouseButton.NoButton,
        Qt.MouseButton.LeftButton, modifier,
    )  # fmt: skip
    editor.mouseMoveEvent(event)


def test_a_drag_over_bars_sets_each_and_is_one_stroke(editor, qtbot):
    strokes = []
    editor.stroke_finished.connect(lambda: strokes.append(1))
    drag(editor, "linear", (4, 8), (8, 8))
    values = editor.values("linear")
    assert [values[i] for i in (4, 5, 7, 8)] == [8.0] * 4
    assert values[6] == 16.0  # the downsampler has no Linear: hatched, not paintable
    assert values[3] == 16.0
    assert strokes == [1]


def test_a_shift_drag_paints_a_ramp(editor):
    drag(editor, "linear", (16, 4), (24, 12), Qt.KeyboardModifier.ShiftModifier)
    values = editor.values("linear")[16:25]
    assert values == sorted(values)
    assert values[0] == pytest.approx(4, abs=1)
    assert values[-1] == pytest.approx(12, abs=1)


def test_hatched_blocks_refuse(editor, qtbot):
    with qtbot.assertNotEmitted(editor.edited):
        QTest.mouseClick(editor, Qt.MouseButton.LeftButton, pos=point(editor, "linear", 0, 8))
    assert editor.values("linear")[0] == 16.0


def test_a_right_click_leaves_a_block_out(editor):
    QTest.mouseClick(editor, Qt.MouseButton.RightButton, pos=point(editor, "linear", 12, 8))
    assert editor.values("linear")[12] == 0.0


def test_a_click_below_the_axis_sets_the_convolutions(editor, qtbot):
    with qtbot.waitSignal(editor.edited) as caught:
        QTest.mouseClick(editor, Qt.MouseButton.LeftButton, pos=point(editor, "conv", 10, 3))
    assert caught.args[0] == "conv"
    assert editor.values("conv")[10] == pytest.approx(3, abs=1)


def test_keys_move_change_and_type(editor):
    editor.setFocus()
    for _ in range(4):
        QTest.keyClick(editor, Qt.Key.Key_Right)
    assert editor.current == ("linear", 4)
    QTest.keyClick(editor, Qt.Key.Key_Up)
    assert editor.values("linear")[4] == 17.0
    QTest.keyClicks(editor, "24")
    assert editor.values("linear")[4] == 24.0
    QTest.keyClick(editor, Qt.Key.Key_PageDown)
    assert editor.values("linear")[4] == 12.0
    QTest.keyClick(editor, Qt.Key.Key_Delete)
    assert editor.values("linear")[4] == 0.0
    QTest.keyClick(editor, Qt.Key.Key_Space)
    assert editor.current == ("conv", 4)
    assert "IN04 conv 0" in editor.accessibleDescription()


def test_effective_values_come_from_the_list_or_the_one_number():
    assert effective(DATA, "rank", "linear") == [16.0] * 25
    assert effective(DATA, "rank", "conv") == [0.0] * 25
    data = {"model": {"architecture": "sd1"}, "network": {"block_dims": list(range(25))}}
    assert effective(data, "rank", "linear") == [float(i) for i in range(25)]
    data["network"]["block_dims"] = [4, 4]  # wrong length: its field shows the error
    assert effective(data, "rank", "linear") == [16.0] * 25


def test_edits_write_lists_of_the_schema():
    assert edits(DATA, "rank", "linear", [4.0] * 25) == [("network.block_dims", [4] * 25)]
    assert edits(DATA, "alpha", "conv", [0.5] * 25) == [("network.conv_block_alphas", [0.5] * 25)]
    weights = dict(edits(DATA, "lr_weight", "linear", [0.5] * 12 + [1.0] + [1.0] * 12))
    assert weights == {
        "network.down_lr_weight": [0.5] * 12,
        "network.mid_lr_weight": None,
        "network.up_lr_weight": None,
    }


def test_what_is_painted_is_what_the_plan_reads():
    data = {"model": {"architecture": "sd1"}, "network": {}}
    values = [float(i % 5) for i in range(25)]
    for path, value in edits(data, "lr_weight", "linear", values):
        set_at(data, path, value)
    assert effective(data, "lr_weight", "linear") == values


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        (tools.equal, [8, 8, 0, 8]), (tools.zero, [0, 0, 0, 0]), (tools.halve, [4, 4, 0, 8]),
        (tools.double, [16, 16, 0, 32]), (tools.invert, [8, 8, 0, 0]),
        (tools.ramp, [4, 10, 0, 16]), (tools.bell, [4, 16, 0, 4]),
    ],
)  # fmt: skip
def test_tools(tool, expected):
    assert tool([8.0, 8.0, 0.0, 16.0], [True, True, False, True]) == pytest.approx(expected)


def test_the_list_text_and_the_bars_agree_both_ways():
    values = [0.0, 4.0, 2.5]
    assert text_of(values) == "0, 4, 2.5"
    assert values_of("[0, 4, 2.5]", 3) == values
    with pytest.raises(ValueError, match="25 numbers are needed; this list has 2"):
        values_of("1,2", 25)
    with pytest.raises(ValueError, match="'x' is not a number"):
        values_of("x", 1)


def test_conv_is_on_by_rank_or_by_list():
    assert not conv_is_on(DATA)
    assert conv_is_on({"network": {"conv_dim": 4}})
    assert conv_is_on({"network": {"conv_block_dims": [1] * 25}})


def test_modules_add_up_to_the_counts_of_the_spec():
    """networks 4.1: 192 attention, 36 resnet Linear and 1×1, 50 3×3."""
    modules = modules_by_block("sd1")
    assert sum(m.linear for m in modules) == 192
    assert sum(m.resnet_linear for m in modules) == 36
    assert sum(m.conv for m in modules) == 50
