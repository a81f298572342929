"""Training by the paper's protocol.

hvae.training.step          the training step and the epoch
hvae.training.protocol      warm-up, selection, early stopping: what knows no file
hvae.training.loop          the loop that writes a run's folder
hvae.training.begin         `hvae.train`
hvae.training.resumption    `hvae.resume`
"""
