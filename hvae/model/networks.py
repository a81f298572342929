"""The networks, by what `--network` takes."""

from hvae.model.convolutional import Convolutional
from hvae.model.gated import Gated
from hvae.model.mlp import MLP
from hvae.model.network import Network
from hvae.registry import Registry

NETWORKS: Registry[Network] = Registry(
    "hvae.networks", Network, {"mlp": MLP, "gated": Gated, "conv": Convolutional}
)
