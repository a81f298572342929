"""Products of spheres against their shells one by one."""

import torch
from directions import DOUBLE, directions
from torch.distributions import kl_divergence
from torch.utils._python_dispatch import TorchDispatchMode

from hvae import ops
from hvae.distributions import HypersphericalUniformProduct, VonMisesFisher, VonMisesFisherProduct


class Launches(TorchDispatchMode):
    """The names of the kernels of hvae that run inside."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.namespace == "hvae":
            self.names.append(function._schema.name)
        return function(*args, **(kwargs or {}))


def test_product_is_its_shells():
    """Sums over shells, means side by side, and one launch for all of them."""
    dims = (2, 3, 7)
    loc = torch.cat([directions(4, m) for m in dims], -1)
    kappa = torch.rand(4, 3, dtype=DOUBLE) * 20
    packed = VonMisesFisherProduct(loc, kappa, dims)
    other = VonMisesFisherProduct(loc.flip(0), kappa.flip(0), dims)

    def parts(product):
        locs, kappas = product.loc.split(dims, -1), product.concentration.unbind(-1)
        return list(map(VonMisesFisher, locs, kappas))

    with Launches() as launches:
        z = packed.sample((5,))
    assert launches.names == ["hvae::sample"]
    points = z.split(dims, -1)
    whole = {
        "log_prob": packed.log_prob(z),
        "entropy": packed.entropy(),
        "kl": kl_divergence(packed, other),
        "uniform": kl_divergence(packed, HypersphericalUniformProduct(dims, dtype=DOUBLE)),
    }
    shells = parts(packed)
    summed = {
        "log_prob": sum(p.log_prob(x) for p, x in zip(shells, points, strict=True)),
        "entropy": sum(p.entropy() for p in shells),
        "kl": sum(kl_divergence(p, q) for p, q in zip(shells, parts(other), strict=True)),
        "uniform": sum(ops.log_area(m) for m in dims) - sum(p.entropy() for p in shells),
    }
    for name, value in whole.items():
        torch.testing.assert_close(value, summed[name], rtol=1e-12, atol=0), name
    torch.testing.assert_close(packed.mean, torch.cat([p.mean for p in shells], -1))
    torch.testing.assert_close(packed.variance, torch.cat([p.variance for p in shells], -1))
    assert packed.expand((2, 4)).sample().shape == (2, 4, 12)
    shell = VonMisesFisherProduct(loc[:, :2], kappa[:, :1], (2,))
    torch.testing.assert_close(
        kl_divergence(shell, parts(other)[0]), kl_divergence(shells[0], parts(other)[0])
    )
