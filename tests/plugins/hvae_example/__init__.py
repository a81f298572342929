"""A package that adds a component, a likelihood and a network to hvae by entry points."""
