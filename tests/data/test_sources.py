"""The registry: what it says of the sets, and that a new set is one entry of it."""

import numpy as np
import pytest
from small_sets import digest, npz, one_line

import hvae.data
from hvae.data import formats, sources
from hvae.data.source import File, Part, Source
from hvae.description import DataDescription, Kind
from hvae.errors import Refused


def test_unknown_names_are_refused():
    for use in (hvae.data.load, hvae.data.describe):
        with pytest.raises(Refused) as error:
            use("cifar")
        one_line(error, "'cifar'", "allowed: caltech, static-mnist, mnist, omniglot, digits")


def test_describe():
    assert hvae.data.NAMES == ("caltech", "static-mnist", "mnist", "omniglot", "digits")
    sizes = ("4100/2264/2307", "50000/10000/10000", "50000/10000/10000", "23000/1345/8070")
    classes = ("labels of 101 classes", "no labels", "labels of 10 classes")
    told = zip(
        hvae.data.NAMES,
        (*sizes, "1297/250/250"),
        (*classes, "labels of 50 classes", "labels of 10 classes"),
        strict=True,
    )
    for name, size, labels in told:
        line = hvae.data.describe(name)
        assert size in line and labels in line and "\n" not in line
        assert ("https://" in line or "http://" in line) == (name != "digits")


@pytest.mark.parametrize("name", hvae.data.NAMES)
def test_every_array_has_a_published_identity(name):
    """Without one, no file could be verified."""
    source = sources.SOURCES[name]
    by_bytes = [file.blob_sha1 is not None for files in source.containers for file in files]
    for part in source.parts.values():
        assert (part.sha256 is None) == any(by_bytes)
        assert (part.labels_sha256 is None) == (any(by_bytes) or source.classes is None)


def test_a_set_is_one_entry(monkeypatch, tmp_path):
    """Images of three dimensions and of another size than any published set's, with a name, an
    identity and a reader: the rest of the package knows nothing of them."""
    images = np.random.default_rng(5).integers(0, 2, (9, 3, 5, 2), dtype=np.uint8)
    rows = images.reshape(9, 30)
    entry = Source(
        name="glyphs",
        title="Glyphs",
        origin="drawn for this test",
        shape=(3, 5, 2),
        maximum=1,
        parts={"train": Part(9, digest([rows]))},
        held_out=(("validation", 2), ("test", 3)),
        containers=(
            (
                File(
                    "glyphs.npz",
                    "https://example.org/glyphs.npz",
                    lambda raw: formats.read_npz(raw, images={"train": "glyphs"}),
                ),
            ),
        ),
    )
    monkeypatch.setitem(sources.SOURCES, "glyphs", entry)
    (tmp_path / "glyphs.npz").write_bytes(npz(glyphs=rows))
    dataset = hvae.data.load("glyphs", tmp_path, download=False)
    assert dataset.description == DataDescription((3, 5, 2), Kind.BINARY)
    assert dataset.verified and dataset.labels is None
    for split, expected in (("train", rows[:4]), ("validation", rows[4:6]), ("test", rows[6:])):
        np.testing.assert_array_equal(getattr(dataset, split).numpy(), expected)
    assert "4/2/3 images 3x5x2, binarized fixed; no labels" in hvae.data.describe("glyphs")
