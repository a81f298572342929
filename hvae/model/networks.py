"""The networks, by what `--network` takes."""

from hvae.model.mlp import MLP
from hvae.model.network import Network
from hvae.registry import Registry

NETWORKS: Registry[Network] = Registry("hvae.networks", Network, {"mlp": MLP})
