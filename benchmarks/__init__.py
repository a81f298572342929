"""What `hvae bench` measures: `run` gives one JSON document, and nothing here prints.

    harness/      how one measures: turns, clocks, figures, settings, the machine, what is timed on
    baselines/    what is compared with, as one writes it in plain torch and SciPy
    sections/     a file a section of `hvae bench`
    reports/      `python -m hvae.benchmarks.reports.NAME`
    gpu.py        `python -m hvae.benchmarks.gpu`: build, test and time on a card, in one go

Keys of the document:

    quick, device, threads, tier, date, seconds
    machine     cpu, cores, load (before the run), system, and gpu (null on a CPU)
    versions    hvae, python, torch, numpy, scipy
    sizes       for every section, the sizes of what it measures
    figures     a list; each figure has
        section, case, subject   what was timed
        unit, time               its time
        baseline, baseline_time  what it was compared with in the same rounds
        measure, ratio           "speedup" (baseline / subject), "cost" (subject / baseline) or
                                 "share" (bytes a second / those of a copy), round by round
        target, met              {"at_least": x} or {"at_most": x} on the ratio's median, or null
    targets     count, and the names of the figures that met theirs and that missed it

A time or a ratio is {"median", "q1", "q3", "min", "max", "rounds"} over the rounds.
"""

from .harness.figures import Figure
from .harness.settings import Settings
from .harness.timing import Spread
from .sections import SECTIONS, run, sections_on

__all__ = ["SECTIONS", "Figure", "Settings", "Spread", "run", "sections_on"]
