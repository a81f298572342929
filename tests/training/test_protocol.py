"""hvae.training.protocol: warm-up, selection and early stopping; training that knows no file."""

import math

from hvae.training.protocol import IMPROVEMENT, Selection, warmup_factor


class TestProtocol:
    def test_warmup_factor(self):
        assert [warmup_factor(epoch, 4) for epoch in range(1, 7)] == [0.25, 0.5, 0.75, 1, 1, 1]
        assert warmup_factor(1, 0) == 1

    def test_the_best_epoch_of_a_scripted_run(self):
        """Nothing before the warm-up; then each improvement of 0.01 nats, from the last best."""
        selection = Selection(first=3, lookahead=2)
        script = [
            (1, -50.0, False),
            (2, -40.0, False),
            (3, -60.0, True),
            (4, -59.9921875, False),  # 1/128 < 0.01
            (5, -59.984375, True),  # 1/64 from epoch 3
            (6, -61.0, False),
            (7, math.nan, False),
        ]
        for epoch, elbo, best in script:
            assert selection.record(epoch, elbo) is best
        assert (selection.best_epoch, selection.best_elbo) == (5, -59.984375)

    def test_an_improvement_of_exactly_the_bar_counts(self):
        selection = Selection(first=1, lookahead=1, best_epoch=1, best_elbo=0.0)
        assert selection.record(2, IMPROVEMENT)

    def test_it_stops_lookahead_epochs_after_the_last_improvement(self):
        selection = Selection(first=1, lookahead=3)
        assert not selection.exhausted(100)
        selection.record(4, -10.0)
        assert [selection.exhausted(epoch) for epoch in (4, 5, 6, 7, 8)] == [False] * 3 + [True] * 2
