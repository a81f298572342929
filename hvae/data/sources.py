"""The registry: one row a data set, with its files, their identity, and how it is split."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from hvae.data import formats


@dataclass(frozen=True)
class Part:
    """An array of a set as its file has it: its rows, and the SHA-256 of it as uint8 [rows, D].

    sha256 is None where only the published file's own bytes are known: see `File.blob_sha1`.
    """

    rows: int
    sha256: str | None


@dataclass(frozen=True)
class File:
    """A published file. It is looked for as `name`, plain and with .gz.

    scale: what takes its values to grey levels. blob_sha1: git's identity of its bytes.
    """

    name: str
    url: str
    read: Callable[[bytes], formats.Arrays]
    scale: int = 1
    blob_sha1: str | None = None


@dataclass(frozen=True)
class Source:
    """A data set: `containers` are alternatives, each of them all the files of the set.

    parts: by name, in the order of the checksum; "train" is always one.
    maximum: the largest grey level in the parts; 1 for a set published in black and white.
    threshold: the grey level from which a pixel is 1, for a set binarized once and for all.
    embedded: for a set without files, its train part and where that came from.
    held_out: (split, rows) pairs that stand in this order at the end of the train part, which is
    shuffled first where `shuffled` says so.
    """

    name: str
    title: str
    origin: str
    image_shape: tuple[int, int]
    maximum: int
    parts: Mapping[str, Part]
    containers: tuple[tuple[File, ...], ...] = ()
    embedded: Callable[[], tuple[np.ndarray, str]] | None = None
    column_major: bool = False
    object_is_zero: bool = False
    threshold: int | None = None
    shuffled: bool = False
    held_out: tuple[tuple[str, int], ...] = ()

    @property
    def pixels(self) -> int:
        return self.image_shape[0] * self.image_shape[1]

    @property
    def binarization(self) -> str:
        """That of the train split: "dynamic", drawn from grey levels every epoch, or "none"."""
        return "none" if self.maximum == 1 or self.threshold is not None else "dynamic"

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Images in the train, validation and test splits."""
        rows = {name: part.rows for name, part in self.parts.items()} | dict(self.held_out)
        return rows["train"] - sum(n for _, n in self.held_out), rows["validation"], rows["test"]


def _scikit_learn_digits() -> tuple[np.ndarray, str]:
    import sklearn  # a second to import, and only this set needs it
    from sklearn.datasets import load_digits

    return load_digits().data, f"scikit-learn {sklearn.__version__}"


_TORONTO = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist"
_CVDF = "https://storage.googleapis.com/cvdf-datasets/mnist"


def _static_mnist_file(part: str, label: str) -> File:
    name = f"binarized_mnist_{label}.amat"
    return File(name, f"{_TORONTO}/{name}", partial(formats.read_amat, part=part, columns=784))


def _mnist_file(part: str, label: str) -> File:
    name = f"{label}-images-idx3-ubyte.gz"
    return File(name, f"{_CVDF}/{name}", partial(formats.read_idx, part=part, image_shape=(28, 28)))


_ALL = (
    Source(
        name="caltech",
        title="Caltech 101 Silhouettes, split 1",
        origin="B. Marlin, from Caltech 101; no licence stated",
        image_shape=(28, 28),
        maximum=1,
        column_major=True,
        object_is_zero=True,
        parts={
            "train": Part(4100, "e16c69228270895ecb557b51da4924fbb288b477fd5923c533614c3159aaccc3"),
            "validation": Part(
                2264, "67a4e3a2ee22d8dce7242c3227f1bd643554efcbdb4d6cce6249832f7d623754"
            ),
            "test": Part(2307, "4abecf7121e7eeb9c944d555d59efc350ef75f979951175322ba8a2842e7fe0f"),
        },
        containers=(
            (
                File(
                    "caltech101_silhouettes_28_split1.mat",
                    "https://people.cs.umass.edu/~marlin/data/caltech101_silhouettes_28_split1.mat",
                    partial(
                        formats.read_mat,
                        keys={
                            "train": "train_data",
                            "validation": "val_data",
                            "test": "test_data",
                        },
                    ),
                ),
            ),
        ),
    ),
    Source(
        name="static-mnist",
        title="MNIST, statically binarized",
        origin="H. Larochelle and I. Murray, from MNIST (CC BY-SA 3.0)",
        image_shape=(28, 28),
        maximum=1,
        parts={
            "train": Part(
                50000, "43490d4d6ac9002727af4426d8748609fdb7e4094fa65ad8d681ea60082a7a5a"
            ),
            "validation": Part(
                10000, "069b4f0beb389b776478c3e872b4df71c95ac4be64d7cbe6d32e24ebac8e6d5e"
            ),
            "test": Part(10000, "ca0294c3b8d984c7a1dc891015a8eea6f37bae59a34e35ea0fc8c47110a8dd86"),
        },
        containers=(
            (
                _static_mnist_file("train", "train"),
                _static_mnist_file("validation", "valid"),
                _static_mnist_file("test", "test"),
            ),
            (
                File(
                    "binarized_mnist.npz",
                    "https://github.com/mgermain/MADE/releases/download/ICML2015/binarized_mnist.npz",
                    partial(
                        formats.read_npz,
                        keys={
                            "train": "train_data",
                            "validation": "valid_data",
                            "test": "test_data",
                        },
                    ),
                ),
            ),
        ),
    ),
    Source(
        name="mnist",
        title="MNIST in grey levels",
        origin="Y. LeCun and C. Cortes; CC BY-SA 3.0",
        image_shape=(28, 28),
        maximum=255,
        parts={
            "train": Part(
                60000, "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757"
            ),
            "test": Part(10000, "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161"),
        },
        held_out=(("validation", 10000),),
        containers=((_mnist_file("train", "train"), _mnist_file("test", "t10k")),),
    ),
    Source(
        name="omniglot",
        title="Omniglot",
        origin="Y. Burda, from B. Lake's Omniglot (MIT)",
        image_shape=(28, 28),
        maximum=255,
        column_major=True,
        parts={"train": Part(24345, None), "test": Part(8070, None)},
        shuffled=True,
        held_out=(("validation", 1345),),
        containers=(
            (
                File(
                    "chardata.mat",
                    "https://github.com/yburda/iwae/raw/master/datasets/OMNIGLOT/chardata.mat",
                    partial(
                        formats.read_mat,
                        keys={"train": "data", "test": "testdata"},
                        columns_are_images=True,
                    ),
                    scale=255,
                    blob_sha1="016a3536ffe5e1d38e42563a18d7a78bfaf643ec",
                ),
            ),
        ),
    ),
    Source(
        name="digits",
        title="handwritten digits, 1 from grey level 8 of 16 on",
        origin="E. Alpaydin and C. Kaynak (UCI, CC BY 4.0), embedded in scikit-learn: no file",
        image_shape=(8, 8),
        maximum=16,
        threshold=8,
        parts={
            "train": Part(1797, "8f26b2bd9d135c256808f68f14fdabddde6d9c7f869ae419704b051f0f14b3b3")
        },
        shuffled=True,
        held_out=(("validation", 250), ("test", 250)),
        embedded=_scikit_learn_digits,
    ),
)

SOURCES: dict[str, Source] = {source.name: source for source in _ALL}
NAMES: tuple[str, ...] = tuple(SOURCES)


def describe(name: str) -> str:
    """One line on the set `name`, one of `NAMES`: what it is, its sizes, origin and address."""
    source = SOURCES[name]
    height, width = source.image_shape
    sizes = "/".join(map(str, source.sizes))
    binarized = {"none": "fixed", "dynamic": "anew every epoch"}[source.binarization]
    images = f"{sizes} images {height}x{width}, binarized {binarized}"
    address = f"; {source.containers[0][0].url}" if source.containers else ""
    return f"{source.title}: {images}; {source.origin}{address}"
