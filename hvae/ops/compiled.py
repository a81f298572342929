"""The compiled ops of `hvae._C`, loaded: the one place where this package meets them."""

import torch

from hvae import _library

_library.load()

C = torch.ops.hvae
