"""What is measured once in a while and kept: `python -m hvae.benchmarks.reports.NAME`.

accuracy      the special functions over the project's tables, and SciPy
failures      where the usual formulas fail, beside hvae
many_draws    a great many draws searched for faults
gradients     bias and spread of the gradients in the concentration, on trained runs
table         trained runs and their evaluations, a line a setting
commits       the times of two commits, in turns
likelihoods   a training step with every likelihood, against the Bernoulli one
"""
