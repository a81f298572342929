"""Writes coefficients.h: every number in it is exact mathematics, rounded once to double.

    python csrc/math/make_coefficients.py > csrc/math/coefficients.h

Debye: log sum_k U_k(t)/nu^k = sum_k w^k D_k(T) with w = 1/r, T = t^2 (DLMF 10.41.3, 10.41.9; the
logarithm of the series by k D_k = k U_k - sum_j j D_j U_{k-j}). With x d/dx the derivative at fixed
order,
    x d/dx [w^k p(T)] = -(1 - T) w^k (k p + 2 T p'),
G = x dD/dx and H = x dG/dx - G have the factor 1 - T = (x/r)^2, which is divided out of the tables
here.

Stirling: lgamma(n + 1) - (log(2 pi n)/2 + n log n - n) = sum_j B_2j / (2j (2j-1) n^(2j-1))
(DLMF 5.11.1).

Zeta: (zeta(k) - 1) / k, k = 2, 3, ...; lgamma(1+x) = -log1p(x) + x (1 - gamma)
+ sum_k (-x)^k (zeta(k) - 1)/k (DLMF 5.7.3).

Gauss-Legendre: nodes and weights on [0, 1].
"""

from fractions import Fraction

import mpmath
import numpy

TERMS = 20
STIRLING_TERMS = 10
ZETA_TERMS = 26
NODES = {16: "float", 24: "double"}  # of a quadrature, for numbers of that kind


def multiply(a, b):
    product = [Fraction(0)] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            product[i + j] += x * y
    return product


def add(a, b):
    longer, shorter = (a, b) if len(a) >= len(b) else (b, a)
    return [x + (shorter[i] if i < len(shorter) else 0) for i, x in enumerate(longer)]


def derivative(a):
    return [i * x for i, x in enumerate(a)][1:] or [Fraction(0)]


def debye_polynomials(terms):
    """U_0 .. U_terms in t: U_{k+1} = t^2 (1-t^2) U_k' / 2 + (1/8) int_0^t (1 - 5 s^2) U_k ds."""
    polynomials = [[Fraction(1)]]
    for _ in range(terms):
        u = polynomials[-1]
        integrand = multiply([Fraction(1), Fraction(0), Fraction(-5)], u)
        integral = [Fraction(0)] + [x / (8 * (i + 1)) for i, x in enumerate(integrand)]
        half = Fraction(1, 2)
        polynomials.append(add(multiply([0, 0, half, 0, -half], derivative(u)), integral))
    return polynomials


def logarithm(polynomials):
    logs = [None]
    for k in range(1, len(polynomials)):
        total = [k * x for x in polynomials[k]]
        for j in range(1, k):
            total = add(total, [-j * x for x in multiply(logs[j], polynomials[k - j])])
        logs.append([x / k for x in total])
    return logs


def even_part(polynomial, k):
    """p with polynomial(t) = t^k p(t^2)."""
    return [
        polynomial[k + 2 * i] if k + 2 * i < len(polynomial) else Fraction(0) for i in range(k + 1)
    ]


def radial(p, k):
    return [k * x + 2 * i * x for i, x in enumerate(p)]


def debye_rows(terms):
    """Rows (D_k, G_k / (1 - T), H_k / (1 - T)), k = 1 .. terms."""
    logs = logarithm(debye_polynomials(terms))
    for k in range(1, terms + 1):
        d = even_part(logs[k], k)
        g = [-x for x in radial(d, k)]
        full_g = multiply([Fraction(1), Fraction(-1)], g)
        h = add([-x for x in radial(full_g, k)], [-x for x in g])
        yield d, g, h


def gauss_legendre(n):
    """Nodes and weights on [0, 1]: numpy's nodes, polished by Newton on P_n, checked against the
    moments.
    """
    mpmath.mp.dps = 60
    pairs = []
    for start in numpy.polynomial.legendre.leggauss(n)[0]:
        x = mpmath.mpf(start)
        for _ in range(4):
            value, before = mpmath.legendre(n, x), mpmath.legendre(n - 1, x)
            slope = n * (x * value - before) / (x * x - 1)
            x -= value / slope
        pairs.append(((1 + x) / 2, 1 / ((1 - x * x) * slope**2)))
    for power in range(2 * n):
        moment = mpmath.fsum(weight * node**power for node, weight in pairs)
        assert abs(moment * (power + 1) - 1) < mpmath.mpf(10) ** -40, (n, power)
    return pairs


def literal(x):
    return float(x).hex() if not isinstance(x, Fraction) else (x.numerator / x.denominator).hex()


def table(name, values, width=5, kind="double"):
    print(f"HVAE_CONSTANT {kind} {name}[{len(values)}] = {{")
    for i in range(0, len(values), width):
        print("    " + " ".join(f"{literal(x)}," for x in values[i : i + width]))
    print("};")


def main():
    print("// Written by make_coefficients.py, which says what each table is. Do not edit.")
    print("#pragma once\n")
    print('#include "macros.h"\n')
    print("// clang-format off")
    print("namespace hvae {\ninline namespace HVAE_TIER {\n")
    print(f"constexpr int kDebyeTerms = {TERMS};")
    rows = list(debye_rows(TERMS))
    for index, name in enumerate(("kDebyeD", "kDebyeG", "kDebyeH")):
        lengths = {len(row[index]) - k for k, row in enumerate(rows, 1)}
        print(
            f"// row k = 1 .. {TERMS} has k + {lengths.pop()} coefficients in T, lowest power first"
        )
        table(name, [x for row in rows for x in row[index]])
    table(
        "kStirling",
        [
            Fraction(*mpmath.bernfrac(2 * j)) / (2 * j * (2 * j - 1))
            for j in range(1, STIRLING_TERMS + 1)
        ],
    )
    mpmath.mp.dps = 60
    table("kZeta", [(-1) ** k * (mpmath.zeta(k) - 1) / k for k in range(2, ZETA_TERMS + 2)])
    for n, kind in NODES.items():
        pairs = gauss_legendre(n)
        table(f"kNodes{n}", [p[0] for p in pairs], kind=kind)
        table(f"kWeights{n}", [p[1] for p in pairs], kind=kind)
    print("\n}  // namespace HVAE_TIER\n}  // namespace hvae")


if __name__ == "__main__":
    main()
