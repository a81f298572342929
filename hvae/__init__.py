"""Variational auto-encoders whose latent space is a product of hyperspheres."""

__version__ = "0.1.0"
