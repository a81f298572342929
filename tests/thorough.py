"""How many examples the long tests try: a few by default, all of them with `pytest --thorough`."""

ASKED = False


def count(few, all):
    """`all` where --thorough was given, else `few`."""
    return all if ASKED else few
