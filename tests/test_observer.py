"""hvae.observer: several observers hear the same."""

from hvae.observer import Observer, Observers


class Recorder(Observer):
    def __init__(self, heard, name):
        for event in vars(Observer):
            if not event.startswith("_"):
                setattr(self, event, lambda *said, at=event: heard.append((name, at, said)))


def test_each_is_told_everything_in_order():
    heard = []
    both = Observers([Recorder(heard, "first"), Recorder(heard, "second")])
    events = [event for event in vars(Observer) if not event.startswith("_")]
    assert {"begun", "epoch", "warning"} <= set(events)
    for number, event in enumerate(events):
        getattr(both, event)(number)
    assert heard == [
        (name, event, (number,))
        for number, event in enumerate(events)
        for name in ("first", "second")
    ]
