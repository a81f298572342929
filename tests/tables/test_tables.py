"""The stored tables, on a sample of rows, against mpmath: a table cannot rot unseen."""

import exact
import mpmath
import numpy as np
import pytest


def rows(name):
    columns = exact.texts(name)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def close(text, value):
    """Agreement to 2e-20, of 21 stored digits."""
    return abs(mpmath.mpf(text) - value) <= 2e-20 * abs(value)


def test_special_rows_agree_with_mpmath():
    # mpmath has not terms enough where both are large; the script checks those rows twice.
    within = [
        row
        for row in rows("special")
        if float(row["nu"]) < 2e5 and (float(row["kappa"]) < 1e6 or float(row["nu"]) < 100)
    ]
    for row in np.random.default_rng(1).choice(within, 40, replace=False):
        # k A - L loses 2 log10(1/k) digits and besseli(nu) of large arguments none.
        with mpmath.workdps(60 + 4 * max(0, -int(mpmath.log10(mpmath.mpf(row["kappa"]))))):
            nu, k = mpmath.mpf(row["nu"]), mpmath.mpf(float(row["kappa"]))
            nu = mpmath.mpf(float(row["nu"]))
            below, above = mpmath.besseli(nu, k), mpmath.besseli(nu + 1, k)
            log_i, a = mpmath.log(below), above / below
            log_norm = mpmath.loggamma(nu + 1) + nu * mpmath.log(2 / k) + log_i
            slope = 1 - a * a - (2 * nu + 1) * a / k
            expected = {
                "L": log_norm,
                "k_minus_L": k - log_norm,
                "A": a,
                "one_minus_A": 1 - a,
                "dA": slope,
                "KL": k * a - log_norm,
                "dKL": k * slope,
                "log_ive": log_i - k,
            }
            for name, value in expected.items():
                assert close(row[name], value), (row, name, value)


@pytest.mark.parametrize("m", [2, 3, 11, 128])
def test_dtheta_rows_agree_with_mpmath(m):
    """dtheta/dk = -(dF/dk)/f, with F differentiated as a quotient of two integrals."""
    mine = [r for r in rows("dtheta") if int(r["m"]) == m and 0.1 < float(r["kappa"]) < 300]
    mine = [r for r in mine if 0.1 < float(r["theta"]) < 2]
    for row in np.random.default_rng(m).choice(mine, 2, replace=False):
        with mpmath.workdps(40):
            k, theta = mpmath.mpf(float(row["kappa"])), mpmath.mpf(float(row["theta"]))

            def density(p, k=k):
                return mpmath.exp(k * (mpmath.cos(p) - 1)) * mpmath.sin(p) ** (m - 2)

            def moment(lo, hi, power, density=density):
                cuts = [lo + (hi - lo) * mpmath.mpf(i) / 8 for i in range(9)]
                return mpmath.quad(lambda p: mpmath.cos(p) ** power * density(p), cuts)

            below, slope_below = moment(0, theta, 0), moment(0, theta, 1)
            above, slope_above = moment(theta, mpmath.pi, 0), moment(theta, mpmath.pi, 1)
            # d/dk of below/(below + above)
            change = (slope_below * above - below * slope_above) / (below + above)
            assert close(row["dtheta"], -change / density(theta)), row
