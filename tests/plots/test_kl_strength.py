"""KL against the concentration, as the paper's Fig. B.1 has it."""

import numpy as np
from scipy import special

from hvae.plots import kl_by_concentration


def test_the_curves_are_the_kl_by_scipy():
    """kappa A - log(I_nu(kappa) Gamma(nu + 1) (2 / kappa)^nu), nu = m/2 - 1, by scaled Bessels.

    SciPy loses digits where KL is small beside kappa, at 1e-16 kappa and by 1e-13 in the Bessels;
    only curves above 1e-2 and concentrations below 1000 are compared.
    """
    [axes] = kl_by_concentration.draw().axes
    assert [line.get_label() for line in axes.lines] == [
        f"m = {m}" for m in kl_by_concentration.DIMS
    ]
    for m, line in zip(kl_by_concentration.DIMS, axes.lines, strict=True):
        kappa, kl = line.get_xdata(), line.get_ydata()
        nu = m / 2 - 1
        log_iv = np.log(special.ive(nu, kappa)) + kappa
        ratio = special.ive(nu + 1, kappa) / special.ive(nu, kappa)
        expected = kappa * ratio - (log_iv + special.gammaln(nu + 1) + nu * np.log(2 / kappa))
        sure = (kl > 1e-2) & (kappa < 1e3)
        assert sure.sum() > 40
        np.testing.assert_allclose(kl[sure], expected[sure], rtol=1e-9)
