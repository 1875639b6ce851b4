"""The report of an import as a tree: what became of each of another trainer's settings."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTreeWidget, QTreeWidgetItem, QWidget

from app.theme import color
from engine.interop.report import Imported, Line, Outcome, shown

_NOTEWORTHY: tuple[Outcome, ...] = ("refused", "no counterpart", "changed", "default", "taken")


def report_tree(imported: Imported, parent: QWidget) -> QTreeWidget:
    """Outcomes as branches; what needs reading stands first and is open."""
    tree = QTreeWidget(parent)
    tree.setAccessibleName(parent.tr("What became of the settings"))
    tree.setHeaderLabels([parent.tr("There"), parent.tr("Here"), parent.tr("Why")])
    tree.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    tree.setUniformRowHeights(True)
    heads = {
        "refused": parent.tr("Refused"),
        "no counterpart": parent.tr("Without a counterpart here"),
        "changed": parent.tr("Changed"),
        "default": parent.tr("Not given there, so the other trainer's default counts"),
        "taken": parent.tr("Taken as they are"),
    }
    for outcome in _NOTEWORTHY:
        lines = imported.of(outcome)
        if not lines:
            continue
        branch = QTreeWidgetItem(tree, [f"{heads[outcome]} ({len(lines)})"])
        branch.setFirstColumnSpanned(True)
        for line in lines:
            branch.addChild(_item(line))
        branch.setExpanded(outcome != "taken")
    unset = imported.of("unset")
    if unset:
        head = parent.tr("Left empty, at off or as it was there (%d)") % len(unset)
        branch = QTreeWidgetItem(tree, [head])
        branch.setFirstColumnSpanned(True)
        for line in unset:
            branch.addChild(QTreeWidgetItem([line.key, "", ""]))
    header = tree.header()
    header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
    width = header.fontMetrics().averageCharWidth()
    tree.setColumnWidth(0, width * 34)
    tree.setColumnWidth(1, width * 32)
    return tree


def _item(line: Line) -> QTreeWidgetItem:
    there = line.key if line.outcome == "default" else f"{line.key} = {shown(line.value)}"
    here = f"{line.path} = {shown(line.new)}" if line.path else "–"
    item = QTreeWidgetItem([there, here, line.why])
    for column in range(3):
        item.setToolTip(column, item.text(column))
    item.setForeground(2, color("text2"))
    item.setTextAlignment(0, Qt.AlignmentFlag.AlignLeft)
    return item
