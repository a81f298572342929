"""A pytest plugin: the tests of a plan, in its order, each within its limit of time.

$MUTATION_PLAN is a JSON file:

    order     the tests' ids in order; null is all, as collected
    skip      ids that are not run
    limits    seconds by id; a process that takes more for a test ends there, status 1
    limit     seconds for a test without one, and for the collection
    budget    seconds after which no further test begins; null for none
    memory    bytes of data that a process may have

A test that the plan does not know runs first. $MUTATION_REPORT gets a JSON line for each event:
{"begin": id}, {"end": id, "outcome", "seconds", "wide", "why"}, {"fixture", "seconds"}. `wide` are
the fixtures that a test may share with others.
"""

import faulthandler
import json
import os
import resource
import sys
import time

import mutation_lines
import pytest


class Plan:
    def __init__(self, path, report):
        with open(path) as file:
            self.plan = json.load(file)
        self.report = report
        self.began = time.monotonic()
        self.seconds, self.outcome, self.why = 0.0, "passed", ""

    def note(self, **event):
        with open(self.report, "a") as file:
            file.write(json.dumps(event) + "\n")

    def pytest_configure(self, config):
        limit = (self.plan["memory"], resource.getrlimit(resource.RLIMIT_DATA)[1])
        resource.setrlimit(resource.RLIMIT_DATA, limit)
        self.arm(self.plan["limit"])

    def arm(self, seconds):
        faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config, items):
        order, skip = self.plan["order"], set(self.plan["skip"])
        place = {test: i for i, test in enumerate(order or [])}
        known = set(self.plan["limits"])
        chosen = [
            item
            for item in items
            if item.nodeid not in skip
            and (order is None or item.nodeid in place or item.nodeid not in known)
        ]
        if order is not None:
            chosen.sort(key=lambda item: place.get(item.nodeid, -1))
        config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
        items[:] = chosen

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        self.arm(self.plan["limits"].get(item.nodeid, self.plan["limit"]))
        self.note(begin=item.nodeid)
        self.seconds, self.outcome, self.why = 0.0, "passed", ""
        mutation_lines.switch(item.nodeid)
        result = yield
        self.note(
            end=item.nodeid,
            outcome=self.outcome,
            seconds=self.seconds,
            wide=sorted(_wide(item)),
            why=self.why,
        )
        budget = self.plan["budget"]
        if budget is not None and time.monotonic() - self.began > budget:
            item.session.shouldstop = "the budget is spent"
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef, request):
        if fixturedef.scope == "function":
            return (yield)
        before, began = os.environ.get("MUTATION_CONTEXT", ""), time.monotonic()
        mutation_lines.switch(_context(fixturedef))
        try:
            return (yield)
        finally:
            mutation_lines.switch(before)
            self.note(fixture=_context(fixturedef), seconds=time.monotonic() - began)

    def pytest_runtest_logreport(self, report):
        self.seconds += report.duration
        if report.failed:
            self.outcome = "failed" if report.when == "call" else "error"
            text = str(report.longrepr).strip().splitlines()
            said = [line for line in text if line.startswith("E ")]
            self.why = (said or text or [""])[0][:300]
        elif report.skipped and self.outcome == "passed":
            self.outcome = "skipped"

    def pytest_unconfigure(self, config):
        faulthandler.cancel_dump_traceback_later()


def _wide(item):
    definitions = getattr(item, "_fixtureinfo", None)
    for chain in definitions.name2fixturedefs.values() if definitions else ():
        for definition in chain:
            if definition.scope != "function":
                yield _context(definition)


def _context(definition):
    return f"@{definition.baseid}::{definition.argname}"


def pytest_configure(config):
    plan = Plan(os.environ["MUTATION_PLAN"], os.environ["MUTATION_REPORT"])
    config.pluginmanager.register(plan, "mutation-plan")
