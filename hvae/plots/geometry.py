"""Curves on spheres, and planes to look at what has more than two dimensions.

Points of a sphere are unit vectors [..., m]; all is computed in their dtype.
"""

from typing import NamedTuple

import torch
from torch import Tensor


def great_circle(centre: Tensor, direction: Tensor, angles: Tensor) -> Tensor:
    """cos(angle) centre + sin(angle) direction, [T, m].

    Args:
        centre: [m], a unit vector.
        direction: [m], a unit vector perpendicular to it.
        angles: [T], radians.
    """
    return torch.outer(angles.cos(), centre) + torch.outer(angles.sin(), direction)


def geodesic(start: Tensor, end: Tensor, steps: Tensor) -> Tensor:
    """[T, m], the shortest arc of a sphere from start at 0 to end at 1 (Shoemake 1985, slerp).

    Between antipodal points every great circle is as short as another: the one through
    `perpendicular(start)` is taken.

    Args:
        start, end: [m], unit vectors.
        steps: [T], shares of the way.
    """
    cosine = start @ end
    across = end - cosine * start
    sine = across.norm()
    # Below this the direction is rounding: of equal points, where it is not needed, or antipodal.
    lost = sine <= 8 * torch.finfo(start.dtype).eps
    direction = perpendicular(start) if lost else _across(start, across / sine)
    angle = torch.atan2(sine, cosine)
    return great_circle(start, direction, steps * angle)


def perpendicular(centre: Tensor) -> Tensor:
    """A unit vector [m] at a right angle to one, from the axis that is nearest to such."""
    axis = torch.zeros_like(centre)
    axis[centre.abs().argmin()] = 1
    return _across(centre, axis)


def principal_tangent(points: Tensor, centre: Tensor) -> Tensor:
    """The unit vector [m] at a right angle to `centre` along which the points reach furthest.

    Of all great circles through the centre, the one in this direction has the points nearest to its
    plane, in least squares. The largest coordinate is positive.

    Args:
        points: [N, m], unit vectors; centre: [m], one.
    """
    across = points - torch.outer(points @ centre, centre)
    direction = torch.linalg.svd(across, full_matrices=False).Vh[0]
    # Of a cloud without extent the singular vector may be any, the centre among them.
    lost = (direction @ centre).abs() > 0.5
    return _with_sign(perpendicular(centre) if lost else _across(centre, direction))


class Plane(NamedTuple):
    """An orthogonal projection to two dimensions.

    Attributes:
        points: [N, 2], of the rows; origin: [2], of the origin of the coordinates.
        share: of the variance of the points that the plane keeps; 1 of points without any.
    """

    points: Tensor
    origin: Tensor
    share: float


def principal_plane(points: Tensor) -> Plane:
    """The two principal directions of points [N, m], m at least 2."""
    mean = points.mean(0)
    centred = points - mean
    variance, axes = torch.linalg.eigh(centred.T @ centred)
    axes = torch.stack([_with_sign(axes[:, -1]), _with_sign(axes[:, -2])], 1)
    total = variance.clamp(min=0).sum()
    share = float(variance[-2:].sum() / total) if total > 0 else 1.0
    return Plane(centred @ axes, -mean @ axes, share)


def principal_direction(points: Tensor) -> Tensor:
    """The unit vector [m] along which points [N, m] vary most; the largest coordinate positive."""
    return _with_sign(torch.linalg.svd(points - points.mean(0), full_matrices=False).Vh[0])


def _across(centre: Tensor, direction: Tensor) -> Tensor:
    """The unit vector [m] at a right angle to the centre that is nearest to a direction [m]."""
    across = direction - (direction @ centre) * centre
    unit: Tensor = across / across.norm()
    return unit


def _with_sign(direction: Tensor) -> Tensor:
    largest = direction[direction.abs().argmax()]
    return direction if largest >= 0 else -direction
