"""Whether draws are distributed as they should be."""


def assert_shares(hits, probability):
    """The share of hits [draws, cells] is the probability [cells], to within five standard errors.

    By the normal approximation a cell is a false alarm once in 1.7e6, where it is good: of draws
    times the probability, and of draws times its complement, at least 100 are asked for.
    """
    draws = len(hits)
    expected = probability.double()
    assert (draws * expected >= 100).all() and (draws * (1 - expected) >= 100).all()
    error = (expected * (1 - expected) / draws).sqrt()
    assert ((hits.double().mean(0) - expected).abs() <= 5 * error).all()
