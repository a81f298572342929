"""hvae.plots.geometry: curves that stay on the sphere, planes that keep what they say."""

import math

import pytest
import torch

from hvae.plots import geometry

EPS = torch.finfo(torch.float64).eps


def unit(*numbers):
    vector = torch.tensor(numbers, dtype=torch.float64)
    return vector / vector.norm()


class TestGreatCircle:
    def test_it_is_closed_on_the_sphere_and_passes_through_the_centre(self):
        centre = unit(1, 2, 3, -1)
        direction = geometry.perpendicular(centre)
        angles = torch.linspace(-math.pi, math.pi, 13, dtype=torch.float64)
        circle = geometry.great_circle(centre, direction, angles)
        ones = torch.ones(13, dtype=torch.float64)
        torch.testing.assert_close(circle.norm(dim=1), ones, rtol=0, atol=8 * EPS)
        torch.testing.assert_close(circle[6], centre, rtol=0, atol=4 * EPS)
        torch.testing.assert_close(circle[0], circle[-1], rtol=0, atol=4 * EPS)
        torch.testing.assert_close(circle[0], -centre, rtol=0, atol=4 * EPS)


class TestGeodesic:
    STEPS = torch.linspace(0, 1, 9, dtype=torch.float64)

    @pytest.mark.parametrize(
        ("start", "end"),
        [
            (unit(1, 2, 3), unit(-1, 0, 2)),
            (unit(1, 2, 3), unit(1, 2, 3)),
            (unit(1, 2, 3), unit(1, 2, 3 + 1e-9)),
            (unit(1, 2, 3), unit(-1, -2, -3)),
            (unit(1, 2, 3), unit(-1, -2, -3 + 1e-9)),
            (unit(1, 0), unit(-1, 0)),
        ],
    )
    def test_from_end_to_end_at_constant_speed_on_the_sphere(self, start, end):
        path = geometry.geodesic(start, end, self.STEPS)
        # cos, sin and atan2 are good to an ulp or two, and so is every coordinate; a direction that
        # is lost to rounding moves the end by the sine that was neglected, 8 eps.
        torch.testing.assert_close(path[0], start, rtol=0, atol=4 * EPS)
        torch.testing.assert_close(path[-1], end, rtol=0, atol=16 * EPS)
        ones = torch.ones(9, dtype=torch.float64)
        torch.testing.assert_close(path.norm(dim=1), ones, rtol=0, atol=8 * EPS)
        steps = path.diff(dim=0).norm(dim=1)
        torch.testing.assert_close(steps, steps.mean().expand(8), rtol=0, atol=16 * EPS)

    def test_it_takes_the_shorter_way(self):
        path = geometry.geodesic(unit(1, 0), unit(0, 1), self.STEPS)
        torch.testing.assert_close(path[4], unit(1, 1), rtol=0, atol=4 * EPS)


class TestPrincipalTangent:
    def test_it_is_where_the_points_lie_furthest_off(self):
        centre = unit(0, 0, 1)
        angles = torch.linspace(-1, 1, 9, dtype=torch.float64)
        points = geometry.great_circle(centre, unit(-3, 4, 0), angles)
        direction = geometry.principal_tangent(points, centre)
        torch.testing.assert_close(direction, unit(-3, 4, 0), rtol=0, atol=64 * EPS)

    @pytest.mark.parametrize("m", [2, 3, 7])
    def test_points_that_are_all_the_centre_have_a_direction_too(self, m):
        centre = torch.full((m,), 1 / math.sqrt(m), dtype=torch.float64)
        direction = geometry.principal_tangent(centre.repeat(5, 1), centre)
        assert abs(float(direction.norm()) - 1) < 8 * EPS
        assert abs(float(direction @ centre)) < 8 * EPS


class TestPrincipalPlane:
    def test_the_share_of_the_variance_and_the_points(self):
        """Variances 9, 4 and 1 along the axes."""
        signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 3)
        points = signs * torch.tensor([1.0, 3.0, 2.0]) + 5
        plane = geometry.principal_plane(points)
        assert plane.share == pytest.approx(13 / 14, abs=64 * EPS)
        expected = (signs * torch.tensor([1.0, 3.0, 2.0]))[:, [1, 2]]
        torch.testing.assert_close(plane.points, expected, rtol=0, atol=256 * EPS)
        origin = torch.tensor([-5.0, -5.0], dtype=torch.float64)
        torch.testing.assert_close(plane.origin, origin, rtol=0, atol=256 * EPS)

    def test_points_without_variance(self):
        plane = geometry.principal_plane(torch.ones(4, 3, dtype=torch.float64))
        assert plane.share == 1.0 and torch.equal(plane.points, torch.zeros(4, 2).double())
