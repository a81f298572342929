"""The picture of a study: which points, joined to which, beside the paper's."""

from xml.etree import ElementTree

import pytest
from test_table import CALTECH, seeds

from hvae.cli import main
from hvae.errors import Refused
from hvae.plots import ll_by_shells
from hvae.plots.ll_by_shells import Panel, Point
from hvae.studies import break_ups, paper
from hvae.studies.picture import plot_study


@pytest.fixture
def runs(tmp_path):
    """Three seeds of every composition of the table but leveled ones; LL is -130 - shells."""
    for one in break_ups.table("fixed-ambient"):
        if one.name != break_ups.LEVELED:
            lls = [-130.0 - one.count + shift for shift in (-1, 0, 1)]
            seeds(tmp_path / one.shells, lls, shells=one.shells, **CALTECH)
    return tmp_path


def drawn(monkeypatch, folder, **more):
    """The figure that `plot_study` draws."""
    figures, draw = [], ll_by_shells.draw

    def note(*arguments):
        figures.append(draw(*arguments))
        return figures[-1]

    monkeypatch.setattr(ll_by_shells, "draw", note)
    plot_study(folder, **more)
    return figures[0]


def lines(axes):
    return {
        line.get_label(): (list(line.get_xdata()), list(line.get_ydata()))
        for line in axes.get_lines()
        if not line.get_label().startswith("_")
    } | {
        container.get_label(): (list(container[0].get_xdata()), list(container[0].get_ydata()))
        for container in axes.containers
    }


def test_lines_begin_at_one_shell_and_join_what_keeps_the_size(runs, tmp_path, monkeypatch):
    figure = drawn(monkeypatch, runs, out=tmp_path / "out")
    (axes,) = figure.axes
    found = lines(axes)
    assert found["balanced"] == ([1, 2, 4, 6, 10, 20], [-131, -132, -134, -136, -140, -150])
    x, y = found["unbalanced"]
    assert y == [-131, -132, -134, -136, -140]
    assert x == pytest.approx([1.06 * count for count in (1, 2, 4, 6, 10)])
    assert "leveled" not in found
    assert found["balanced, paper"][1] == [-143.49, -142.43, -139.30, -142.84, -144.73]
    assert found["unbalanced, paper"][1][3] == -169.15
    alone = [c for c in axes.containers if (c.get_label() or "_").startswith("_")]
    assert [list(container[0].get_xdata()) for container in alone] == [[40]]
    assert axes.get_title(loc="left") == "caltech"
    assert " ".join(paper.GUESS.split()) in " ".join(figure.get_supxlabel().split())


def test_bars_are_standard_deviations(runs, tmp_path, monkeypatch):
    figure = drawn(monkeypatch, runs, out=tmp_path / "out")
    (bars,) = figure.axes[0].containers[0][2]
    assert [segment[:, 1].tolist() for segment in bars.get_segments()][0] == [-132.0, -130.0]


def test_a_panel_for_every_setting(tmp_path, monkeypatch):
    for rate in (0.001, 0.01):
        for shells in ("41", "20,21"):
            seeds(tmp_path / f"{rate}{shells}", [-130.0], shells=shells, lr=rate, **CALTECH)
    figure = drawn(monkeypatch, tmp_path, out=tmp_path / "out")
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["caltech, lr 0.001", "caltech, lr 0.01"]


def test_files_of_the_command(runs, tmp_path, capfd):
    assert main(["sweep", "--resume", str(runs)]) == 2  # a folder of runs is no sweep's
    capfd.readouterr()
    written = plot_study(runs)
    assert written == [runs / "plots" / f"ll-by-shells{end}" for end in (".png", ".svg")]
    ElementTree.fromstring(written[1].read_bytes())
    first = [path.read_bytes() for path in written]
    plot_study(runs)
    assert [path.read_bytes() for path in written] == first


def test_one_shell_alone_is_a_point(tmp_path):
    panel = Panel("caltech", (Point("balanced", 1, False, -130.0, None, -143.49),))
    (axes,) = ll_by_shells.draw([panel], "500 importance samples", "").axes
    assert lines(axes)["balanced"] == ([1], [-130.0])


def test_nothing_to_draw(tmp_path):
    seeds(tmp_path, [-1.0], shells="e3")
    with pytest.raises(Refused, match="no balanced, leveled or unbalanced break-up in it is eval"):
        plot_study(tmp_path)
    for number in range(7):
        seeds(tmp_path / str(number), [-1.0], shells="4", lr=0.1 + number)
    with pytest.raises(Refused, match="has 7 settings; allowed: 6 in one picture"):
        plot_study(tmp_path)
