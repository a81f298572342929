"""hvae.training.interrupts: the first signal waits for a good moment, the second does not."""

import signal

import pytest

from hvae.errors import Interrupted
from hvae.training.interrupts import Interrupts


@pytest.fixture
def heeded():
    """SIGINT and SIGTERM as a terminal's process has them: a background job's may be ignored."""
    ordinary = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in ordinary.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_one_waits_for_a_check_and_two_do_not(heeded):
    for number in (signal.SIGINT, signal.SIGTERM):
        with Interrupts() as interrupts:
            interrupts.wait()
            signal.raise_signal(number)
            assert not interrupts.urgent
            with pytest.raises(Interrupted) as error:
                interrupts.check()
            assert error.value.exit_status == 128 + number
            with pytest.raises(Interrupted):
                signal.raise_signal(signal.SIGTERM)
            assert interrupts.urgent


def test_before_there_is_something_to_keep_none_waits(heeded):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted), Interrupts():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_the_process_ignores_stays_ignored():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            signal.raise_signal(signal.SIGTERM)
            interrupts.check()
    finally:
        signal.signal(signal.SIGTERM, before)
