"""Notes which lines a process runs, and for which test.

A process that runs one test, such as a command line, belongs to the test that $MUTATION_CONTEXT
names when it ends. The process of pytest calls `switch` between tests. A process that is killed
leaves no notes.
"""

import atexit
import json
import os
import uuid
from pathlib import Path

import coverage

_state = {}


def begin(folder):
    """Note lines of the sources in $MUTATION_SOURCES; leave them in `folder` when all ends."""
    sources = json.loads(os.environ["MUTATION_SOURCES"])
    _state["measured"] = coverage.Coverage(data_file=None, config_file=False, source=sources)
    _state["folder"] = Path(folder)
    _state["measured"].start()
    _state["exit"] = os._exit
    os._exit = _exit
    atexit.register(leave)


def switch(context):
    """The lines from now on are of this context; so are those of processes that start now."""
    os.environ["MUTATION_CONTEXT"] = context
    if "measured" in _state:
        _state["measured"].switch_context(context)


def leave():
    """Write the notes down, once."""
    measured = _state.pop("measured", None)
    if measured is None:
        return
    measured.stop()
    data, own = measured.get_data(), os.environ.get("MUTATION_CONTEXT", "")
    notes = {}
    for path in data.measured_files():
        for line, contexts in data.contexts_by_lineno(path).items():
            for context in contexts:
                notes.setdefault(context or own, {}).setdefault(path, []).append(line)
    name = f"{os.getpid()}-{uuid.uuid4().hex}"
    (_state["folder"] / f".{name}").write_text(json.dumps(notes))
    (_state["folder"] / f".{name}").rename(_state["folder"] / f"{name}.json")


def _exit(status):
    leave()
    _state["exit"](status)
