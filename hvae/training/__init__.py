"""Training by the paper's protocol.

hvae.training.step          the training step and the epoch
hvae.training.protocol      warm-up, selection, early stopping: what knows no file
hvae.training.adam          the update of the weights
hvae.training.stack         steps of several trainings at once, which know no file either
hvae.training.loop          the loop that writes a run's folder
hvae.training.begin         `hvae.train`
hvae.training.resumption    `hvae.resume`
hvae.training.following     what ranks do that are not the first
hvae.training.replicas      runs that are trained in one stack, a folder each
hvae.training.replica_rates how many runs are trained fastest in one stack
"""
