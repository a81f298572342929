"""What a model is worth: the ELBO and its parts, and the importance-weighted log-likelihood.

hvae.evaluation.elbo, hvae.evaluation.importance    of a model on rows: they know no file
hvae.evaluation.of_run                              of a run's best model, kept in its folder
"""
