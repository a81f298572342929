"""The pictures of small models: that each shows what it says, in the axes."""

import functools
import math

import numpy as np
import pytest
import torch
from matplotlib.collections import PathCollection, PolyCollection

from hvae.plots import circles, great_circles, interpolation, kl_by_shell, style, training
from hvae.plots import images as image_tiles
from hvae.plots.pictures import PICTURES
from hvae.plots.view import IGNORED

TABLES = ("great-circles", "reconstructions", "prior", "interpolation")
DRAWN = [
    *((name, "image_view") for name in PICTURES),
    *((name, view) for name in TABLES for view in ("real_view", "count_view")),
    ("spheres", "real_view"),
    ("prior", "colour_view"),
]


@functools.cache
def draw(name, view):
    figure = PICTURES[name].draw(view)
    figure.draw_without_rendering()
    return figure


@pytest.mark.parametrize(("name", "view"), DRAWN)
def test_every_picture_of_every_kind_of_rows(name, view, request):
    """With a title, a caption, and nothing beyond the edges."""
    view = request.getfixturevalue(view)
    assert PICTURES[name].applies(view)
    figure = draw(name, view)
    assert style.title_of(figure) and style.caption_of(figure).endswith(".")
    assert figure.get_size_inches()[0] == style.WIDTH
    _, height = figure.get_size_inches()
    drawn = figure.get_tightbbox()
    assert min(drawn.x0, drawn.y0) >= 0 and drawn.x1 <= style.WIDTH and drawn.y1 <= height + 1e-9


class TestWhatDoesNotApply:
    def test_pictures_of_components_that_are_not_there(self, colour_view):
        missing = {name for name, picture in PICTURES.items() if not picture.applies(colour_view)}
        assert missing == {"circles", "wide-shells", "euclidean"}


class TestTraining:
    def test_curves_are_the_metrics(self, image_view):
        figure = draw("training", image_view)
        line = image_view.metrics[0]
        for axes, key in zip(figure.axes, ("elbo", "re", "kl"), strict=False):
            by_name = {curve.get_label(): curve for curve in axes.lines}
            for split in ("train", "validation"):
                assert by_name[split].get_xydata().tolist() == [[1, line[split][key]]]
        kappa = [c.get_ydata()[0] for c in figure.axes[3].lines if c.get_gid() is None]
        assert kappa == line["validation"]["kappa"]

    def test_the_best_epoch_and_the_end_of_the_warmup_are_marked(self, image_view):
        axes = draw("training", image_view).axes[0]
        marks = {line.get_gid(): line.get_xdata()[0] for line in axes.lines if line.get_gid()}
        assert marks == {"best": 1, "warmup": 1}
        assert "epoch 1, the best one" in style.caption_of(training.draw(image_view))


class TestKLByShell:
    def test_the_heights_of_the_bars(self, image_view):
        kl, accuracy = draw("kl-by-shell", image_view).axes
        assert [bar.get_height() for bar in kl.patches] == image_view.kl.tolist()
        assert [bar.get_height() for bar in accuracy.patches] == [
            100 * share for share in image_view.accuracy
        ]
        [chance] = [line for line in accuracy.lines if line.get_gid() == "chance"]
        assert chance.get_ydata()[0] == 100 * image_view.chance

    def test_ignored_components_have_the_other_colour_and_are_counted(self, image_view):
        figure = kl_by_shell.draw(image_view)
        colours = [style.ORANGE if kl < IGNORED else style.BLUE for kl in image_view.kl.tolist()]
        found = [
            style.matplotlib.colors.to_hex(bar.get_facecolor()) for bar in figure.axes[0].patches
        ]
        assert found == [colour.lower() for colour in colours]
        ignored = colours.count(style.ORANGE)
        assert f"{ignored} of 7" in style.title_of(figure) or ignored == 0

    def test_without_labels_there_is_one_panel(self, count_view):
        assert len(kl_by_shell.draw(count_view).axes) == 1


class TestGreatCircles:
    def test_closed_on_the_shell_through_the_mode_with_all_else_fixed(self, image_view):
        mode = image_view.modes[0]
        for part in image_view.parts:
            z = great_circles.varied(image_view, part, 13)
            torch.testing.assert_close(z[6], mode, rtol=0, atol=1e-15)
            others = torch.ones(len(mode), dtype=torch.bool)
            others[part.columns] = False
            assert torch.equal(z[:, others], mode[others].expand(13, -1))
            own = z[:, part.columns]
            if part.is_shell:
                ones = torch.ones(13, dtype=torch.float64)
                torch.testing.assert_close(own.norm(dim=1), ones, rtol=0, atol=4e-15)
                torch.testing.assert_close(own[0], own[12], rtol=0, atol=1e-15)
                torch.testing.assert_close(own[0], -own[6], rtol=0, atol=1e-15)
            else:
                assert float((own[12] - own[6]).norm()) == pytest.approx(3)

    def test_the_tiles_are_the_decoded_points(self, image_view):
        figure = draw("great-circles", image_view)
        picture = figure.axes[0].images[0].get_array()
        part = image_view.parts[2]
        means = image_view.decode(great_circles.varied(image_view, part, 13)).numpy()
        down, across = 2 * (8 + image_tiles.GAP), 4 * (8 + image_tiles.GAP)
        tile = picture[down : down + 8, across : across + 8]
        np.testing.assert_array_equal(tile, means[4].reshape(8, 8))
        assert [text.get_text() for text in figure.axes[0].get_xticklabels()][6] == "0°"

    def test_heat_maps_name_the_features_that_vary_most(self, count_view):
        figure = draw("great-circles", count_view)
        part = count_view.most_used(count_view.parts, 6)[0]
        means = count_view.decode(great_circles.varied(count_view, part, 61)).log1p()
        most = means.std(0, correction=0).topk(10).indices.sort().values
        names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
        assert names == [str(int(i) + 1) for i in most]
        values = figure.axes[0].images[0].get_array()
        np.testing.assert_allclose(values, means[:, most].T.numpy(), rtol=0, atol=1e-12)


class TestInterpolation:
    def test_it_ends_at_the_modes_and_stays_on_the_shells(self, image_view):
        path = interpolation.path(image_view, 3, 8, 11)
        torch.testing.assert_close(path[0], image_view.modes[3], rtol=0, atol=4e-15)
        torch.testing.assert_close(path[10], image_view.modes[8], rtol=0, atol=4e-15)
        for part in image_view.parts:
            own = path[:, part.columns]
            if part.is_shell:
                ones = torch.ones(11, dtype=torch.float64)
                torch.testing.assert_close(own.norm(dim=1), ones, rtol=0, atol=4e-15)
            else:
                middle = (image_view.modes[3] + image_view.modes[8])[part.columns] / 2
                torch.testing.assert_close(own[5], middle, rtol=0, atol=4e-15)

    def test_pairs_are_of_two_classes(self, image_view, count_view):
        pairs = interpolation.pairs(image_view, 4)
        assert len({row for pair in pairs for row in pair}) == 8
        assert all(image_view.labels[a] != image_view.labels[b] for a, b in pairs)
        assert interpolation.pairs(count_view, 2) == [(0, 1), (2, 3)]


class TestCircles:
    def test_every_row_is_in_the_bin_of_its_angle(self, image_view):
        part, groups = image_view.circles[0], style.groups(image_view)
        counted = circles.counts(image_view, part, groups)
        assert counted.sum() == len(image_view.rows)
        x, y = image_view.points(part)[0].tolist()
        place = int((math.atan2(y, x) + math.pi) / (2 * math.pi) * 36)
        [group] = [i for i, g in enumerate(groups) if g.rows[0]]
        assert counted[group, place] >= 1
        assert counted.sum(1).tolist() == [int(group.rows.sum()) for group in groups]

    def test_areas_are_counts(self, count_view):
        figure = draw("circles", count_view)
        counted = circles.counts(count_view, count_view.circles[0], style.groups(count_view))[0]
        [bars] = [c for c in figure.axes[0].collections if isinstance(c, PolyCollection)]
        areas = [_area(path.vertices[:-1]) for path in bars.get_paths()]
        per_row = np.array(areas) / counted[counted > 0]
        np.testing.assert_allclose(per_row, per_row[0], rtol=1e-9)


def _area(corners):
    """The area of a polygon, by the shoelace formula."""
    x, y = corners.T
    return abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2


class TestScatters:
    def test_spheres_have_every_row_at_its_longitude_and_latitude(self, image_view):
        figure = draw("spheres", image_view)
        points = image_view.points(image_view.spheres[0]).numpy()
        expected = np.stack([np.arctan2(points[:, 1], points[:, 0]), np.arcsin(points[:, 2])], 1)
        np.testing.assert_array_equal(_offsets(figure.axes[0], image_view), expected)

    def test_wide_shells_are_inside_the_circle(self, image_view):
        """An orthogonal projection of unit vectors, of which the heading tells the share."""
        figure = draw("wide-shells", image_view)
        points = _offsets(figure.axes[0], image_view)
        assert np.hypot(*points.T).max() <= 1 + 1e-12
        own = image_view.points(image_view.wide_shells[0])
        share = points.var(0).sum() / float(own.var(0, correction=0).sum())
        assert f"in the plane {100 * share:.0f} % (uniform: 20 %)" in figure.axes[0].get_title(
            "left"
        )

    def test_flat_components_keep_their_distances(self, image_view):
        """R^2 is only turned; of R^1 there is a histogram of all rows."""
        plane, line = draw("euclidean", image_view).axes
        points = _offsets(plane, image_view)
        own = image_view.points(image_view.flat[0]).numpy()
        distances = [np.linalg.norm(p - p[:1], axis=1) for p in (points, own)]
        np.testing.assert_allclose(*distances, rtol=0, atol=1e-12)
        assert sum(patch.get_height() for patch in line.patches) == len(image_view.rows)


def _offsets(axes, view):
    """The points of a scatter in the order of the rows."""
    points = np.empty((len(view.rows), 2))
    drawn = [c for c in axes.collections if isinstance(c, PathCollection)]
    for group, marks in zip(style.groups(view), drawn, strict=True):
        points[group.rows] = marks.get_offsets()
    return points


class TestClasses:
    def test_more_classes_than_colours(self, count_view):
        """The most frequent nine have one, and the rest is one group."""
        labels = torch.cat([torch.arange(12), torch.arange(9).repeat(5)[:45], torch.arange(3)])
        view = type(count_view)(**{**vars_of(count_view), "labels": labels})
        groups = style.groups(view)
        assert [group.name for group in groups] == ["3 others", *map(str, range(9))]
        assert sum(group.rows.sum() for group in groups) == 60
        assert len({group.colour for group in groups}) == len({g.marker for g in groups}) == 10

    def test_names_that_mean_something_to_matplotlib(self, real_view):
        figure = draw("spheres", real_view)
        [legend] = figure.legends
        assert [text.get_text().strip() for text in legend.get_texts()] == ["_x", "$y", "z"]


def vars_of(view):
    fields = ("name", "model", "rows", "labels", "label_names", "source", "metrics", "best_epoch")
    return {name: getattr(view, name) for name in (*fields, "warmup", "facts", "seed")}


class TestImages:
    def test_colours_are_channels_last(self, colour_view):
        figure = draw("reconstructions", colour_view)
        picture = figure.axes[0].images[0].get_array()
        largest = max(colour_view.description.maxima)
        expected = (
            colour_view.rows[0].double().numpy().reshape(3, 4, 5).transpose(1, 2, 0) / largest
        )
        np.testing.assert_allclose(picture[:4, :5], expected, rtol=0, atol=1e-12)

    def test_a_small_table_has_its_numbers(self, real_view):
        figure = draw("reconstructions", real_view)
        texts = [text.get_text() for text in figure.axes[0].texts]
        assert texts == [f"{value:.3g}" for value in real_view.rows[:12].flatten().tolist()]


class TestReconstructionsOfRows:
    def test_counts_are_compared_at_one_library_size(self, count_view):
        """Originals scaled to the median, E[x | z], and the difference of both as drawn."""
        figure = draw("reconstructions", count_view)
        original, mean, difference = (np.asarray(a.images[0].get_array()) for a in figure.axes[:3])
        np.testing.assert_allclose(mean - original, difference, rtol=0, atol=1e-12)
        library = float(count_view.model.likelihood.library)
        rows = count_view.rows[:16].double()
        scaled = (rows * library / rows.sum(1, keepdim=True)).log1p()
        names = [int(label.get_text()) - 1 for label in figure.axes[2].get_xticklabels()]
        np.testing.assert_allclose(original, scaled[:, names].numpy(), rtol=0, atol=1e-12)
        assert f"median library size, {library:.0f}." in style.caption_of(figure)
