"""hvae.plots.view: rows, codes, KL and classes that every picture shares."""

import pytest
import torch
from views import of_vectors, reals

from hvae.description import DataDescription, Kind
from hvae.model.gaussian import Gaussian
from hvae.plots.pictures import PICTURES
from hvae.plots.view import Part, plain


class TestParts:
    def test_symbols(self):
        assert Part(0, "", 3, 0, True).symbol == "S²"
        assert Part(1, "p", 11, 3, True).name == "2: S¹⁰"
        assert Part(0, "e", 41, 0).symbol == "R⁴¹" and Part(0, "l", 5, 0).symbol == "l5"

    def test_the_coordinates_of_the_components_in_order(self, image_view):
        sizes = [3, 2, 10, 2, 3, 2, 1]
        assert [part.size for part in image_view.parts] == sizes
        assert [part.columns.stop for part in image_view.parts] == [3, 5, 15, 17, 20, 22, 23]
        assert [p.index for p in image_view.circles] == [1, 5]
        assert [p.index for p in image_view.spheres] == [0, 4]
        assert [p.index for p in image_view.wide_shells] == [2]
        assert [p.index for p in image_view.flat] == [3, 6]


class TestCodes:
    def test_modes_are_those_of_the_model_and_unit_vectors(self, image_view):
        with torch.no_grad():
            modes = image_view.model.posterior(image_view.rows).mode().double()
        torch.testing.assert_close(image_view.modes, modes, rtol=0, atol=1e-6)  # eps of float32
        for part in image_view.parts:
            if part.is_shell:
                norm = image_view.points(part).norm(dim=1)
                torch.testing.assert_close(norm, torch.ones_like(norm), rtol=0, atol=1e-15)

    def test_kl_is_the_mean_over_rows(self, image_view):
        with torch.no_grad():
            rng = torch.zeros(4, dtype=torch.int64)
            kl = image_view.model.posterior(image_view.rows).draw(rng).kl.double().mean(0)
        torch.testing.assert_close(image_view.kl, kl, rtol=1e-5, atol=1e-7)  # in closed form

    def test_the_accuracy_is_of_what_the_decoder_sees(self, image_view, count_view):
        """After one epoch of training no component finds a class much better than chance."""
        assert len(image_view.accuracy) == 7 and max(image_view.accuracy) < 0.6
        assert count_view.accuracy is None

    def test_of_more_components_those_with_the_largest_kl_and_none_ignored(self, image_view):
        parts, kl = image_view.parts, image_view.kl
        assert image_view.most_used(parts, 7) == parts
        two = image_view.most_used(parts, 2)
        largest = {int(i) for i in kl.topk(2).indices}
        used = {i for i in largest if parts[i] not in image_view.ignored}
        assert {part.index for part in two} == (used or {int(kl.argmax())})


def test_plain_text():
    assert plain("a\n\tb\x00c", 10) == "a b c"
    assert plain("x" * 30, 10) == "x" * 9 + "…"


class TestCovariates:
    @pytest.fixture(scope="class")
    @classmethod
    def view(cls):
        """Rows of two batches in turn."""
        rows = torch.cat([reals(), torch.eye(2).repeat(30, 1)], 1)
        description = DataDescription((6,), Kind.REAL, covariates=("batch=a", "batch=b"))
        return of_vectors(description, Gaussian, rows, "3")

    def test_a_point_is_decoded_with_the_covariates_of_a_row(self, view):
        z = view.modes[:4]
        with torch.no_grad():
            for rows, batch in ((torch.arange(4), torch.eye(2).repeat(2, 1)), (None, [1.0, 0.0])):
                parameters = view.model.decode(z.float(), torch.as_tensor(batch))
                expected = view.model.likelihood.mean(parameters).double()
                assert torch.equal(view.decode(z, rows), expected)

    @pytest.mark.parametrize("name", ["great-circles", "reconstructions", "prior"])
    def test_pictures_show_the_data_alone(self, view, name):
        figure = PICTURES[name].draw(view)
        features = figure.axes[2 if name == "reconstructions" else 0]
        ticks = (
            features.get_yticklabels() if name == "great-circles" else features.get_xticklabels()
        )
        assert [tick.get_text() for tick in ticks] == ["1", "2", "3", "4", "5", "6"]
