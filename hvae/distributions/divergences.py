"""`torch.distributions.kl_divergence` of every pair of distributions on the same spheres.

    KL(vMF(mu, k) || uniform) = k A - L
    KL(uniform || vMF(mu, k)) = L
    KL(Power Spherical, spherical Cauchy or projected normal || uniform)    `kl_to_uniform`
    KL(scaled vMF || uniform)      an unbiased estimate, `ScaledVonMisesFisher.kl_to_uniform`
    KL(vMF(mu1, k1) || vMF(mu2, k2)) = B(k1, k2) + k2 A(k1) |mu1 - mu2|^2 / 2

summed over the shells; L and A are as in `hvae.ops.vmf`, and B is `hvae.distributions.bregman`.
"""

import torch
from torch import Tensor
from torch.distributions.kl import register_kl

from hvae import ops
from hvae.distributions.bregman import bregman
from hvae.distributions.packed import shell_sums
from hvae.distributions.rotational import RotationallySymmetric
from hvae.distributions.scaled_von_mises_fisher import ScaledVonMisesFisher
from hvae.distributions.spheres import OnSpheres
from hvae.distributions.uniform import UniformOnSpheres
from hvae.distributions.von_mises_fisher import VonMisesFisherOnSpheres


def _same_spheres(p: OnSpheres, q: OnSpheres) -> None:
    if p.dims != q.dims:
        raise ValueError(f"the second distribution has dims {q.dims}; allowed: {p.dims}")


def _in_batch(divergence: Tensor, p: OnSpheres, q: OnSpheres) -> Tensor:
    return divergence.expand(torch.broadcast_shapes(p.batch_shape, q.batch_shape))


def _vmf_uniform(p: VonMisesFisherOnSpheres, q: UniformOnSpheres) -> Tensor:
    _same_spheres(p, q)
    return _in_batch(p._vmf("KL").sum(-1), p, q)


def _uniform_vmf(p: UniformOnSpheres, q: VonMisesFisherOnSpheres) -> Tensor:
    _same_spheres(p, q)
    return _in_batch(q._vmf("L").sum(-1), p, q)


def _uniform_uniform(p: UniformOnSpheres, q: UniformOnSpheres) -> Tensor:
    _same_spheres(p, q)
    return _in_batch(torch.zeros((), dtype=p.dtype, device=p.device), p, q)


def _vmf_vmf(p: VonMisesFisherOnSpheres, q: VonMisesFisherOnSpheres) -> Tensor:
    _same_spheres(p, q)
    k1, k2 = p._concentrations, q._concentrations
    dtype = torch.promote_types(k1.dtype, k2.dtype)
    k1, k2 = torch.broadcast_tensors(k1.to(dtype), k2.to(dtype))
    apart = shell_sums((p._mean_direction - q._mean_direction).square(), p.dims) / 2
    turned: Tensor = k2 * ops.vmf(k1, p.dims, "A")[0] * apart
    return (bregman(k1, k2, p.dims) + turned).sum(-1)


def _scaled_uniform(p: ScaledVonMisesFisher, q: UniformOnSpheres) -> Tensor:
    _same_spheres(p, q)
    return _in_batch(p.kl_to_uniform()[0], p, q)


def _symmetric_uniform(p: RotationallySymmetric, q: UniformOnSpheres) -> Tensor:
    _same_spheres(p, q)
    return _in_batch(p.kl_to_uniform(), p, q)


register_kl(VonMisesFisherOnSpheres, UniformOnSpheres)(_vmf_uniform)
register_kl(RotationallySymmetric, UniformOnSpheres)(_symmetric_uniform)
register_kl(ScaledVonMisesFisher, UniformOnSpheres)(_scaled_uniform)
register_kl(UniformOnSpheres, VonMisesFisherOnSpheres)(_uniform_vmf)
register_kl(UniformOnSpheres, UniformOnSpheres)(_uniform_uniform)
register_kl(VonMisesFisherOnSpheres, VonMisesFisherOnSpheres)(_vmf_vmf)
