"""The published data sets, one entry each. A new set is a new entry of `_ALL` and nothing else."""

from functools import partial
from importlib.metadata import distribution

import numpy as np

from hvae.data import formats
from hvae.data.formats import Arrays
from hvae.data.source import File, Part, Source
from hvae.errors import Refused

_TORONTO = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist"
_CVDF = "https://storage.googleapis.com/cvdf-datasets/mnist"
_BINARIZED_MNIST_KEYS = {"train": "train_data", "validation": "valid_data", "test": "test_data"}


def _static_mnist_file(part: str, label: str) -> File:
    name = f"binarized_mnist_{label}.amat"
    return File(name, f"{_TORONTO}/{name}", partial(formats.read_amat, part=part, columns=784))


def _mnist_images(part: str, label: str) -> File:
    name = f"{label}-images-idx3-ubyte.gz"
    return File(name, f"{_CVDF}/{name}", partial(formats.read_idx, part=part, shape=(28, 28)))


def _mnist_labels(part: str, label: str) -> File:
    name = f"{label}-labels-idx1-ubyte.gz"
    read = partial(formats.read_idx_labels, part=part)
    return File(name, f"{_CVDF}/{name}", read, optional=True)


def _scikit_learn_digits() -> tuple[Arrays, str]:
    """Read from the package's file: to import scikit-learn takes longer than an epoch."""
    package = distribution("scikit-learn")
    file = package.locate_file("sklearn/datasets/data/digits.csv.gz")
    table = np.loadtxt(str(file), delimiter=",")
    arrays = Arrays(images={"train": table[:, :-1]}, labels={"train": table[:, -1].astype(int)})
    return arrays, f"scikit-learn {package.version}"


_ALL = (
    Source(
        name="caltech",
        title="Caltech 101 Silhouettes, split 1",
        origin="B. Marlin, from Caltech 101; no licence stated",
        shape=(28, 28),
        maximum=1,
        classes=101,
        column_major=True,
        object_is_zero=True,
        parts={
            "train": Part(
                4100,
                "e16c69228270895ecb557b51da4924fbb288b477fd5923c533614c3159aaccc3",
                "dd609dbaa6f5bd90e5cb1856e81861ed849a5fbaf9f423e4d64d40984b69cb13",
            ),
            "validation": Part(
                2264,
                "67a4e3a2ee22d8dce7242c3227f1bd643554efcbdb4d6cce6249832f7d623754",
                "d2d131098fcaf6d7e1bc9dd1e098b9edcd5f01370f0b322324943668c81dd56f",
            ),
            "test": Part(
                2307,
                "4abecf7121e7eeb9c944d555d59efc350ef75f979951175322ba8a2842e7fe0f",
                "8812d3e4a9a0c902b27d54cc6a1466f3bc84405e9fe654162768e97daa3e19f0",
            ),
        },
        containers=(
            (
                File(
                    "caltech101_silhouettes_28_split1.mat",
                    "https://people.cs.umass.edu/~marlin/data/caltech101_silhouettes_28_split1.mat",
                    partial(
                        formats.read_mat,
                        images={
                            "train": "train_data",
                            "validation": "val_data",
                            "test": "test_data",
                        },
                        labels={
                            "train": "train_labels",
                            "validation": "val_labels",
                            "test": "test_labels",
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
        shape=(28, 28),
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
                    partial(formats.read_npz, images=_BINARIZED_MNIST_KEYS),
                ),
            ),
        ),
    ),
    Source(
        name="mnist",
        title="MNIST in grey levels",
        origin="Y. LeCun and C. Cortes; CC BY-SA 3.0",
        shape=(28, 28),
        maximum=255,
        classes=10,
        parts={
            "train": Part(
                60000,
                "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
                "e474323ac02fc156161b0bbb1f8c9cfeb327a74bcd9f9680a8385269a24f566c",
            ),
            "test": Part(
                10000,
                "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
                "2fd8de6bdb8d11780b4b96dc57847bcfe6953f7c32aa48bfcd8237c3b7847243",
            ),
        },
        held_out=(("validation", 10000),),
        containers=(
            (
                _mnist_images("train", "train"),
                _mnist_images("test", "t10k"),
                _mnist_labels("train", "train"),
                _mnist_labels("test", "t10k"),
            ),
        ),
    ),
    Source(
        name="omniglot",
        title="Omniglot",
        origin="Y. Burda, from B. Lake's Omniglot (MIT)",
        shape=(28, 28),
        maximum=255,
        classes=50,  # alphabets
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
                        images={"train": "data", "test": "testdata"},
                        labels={"train": "target", "test": "testtarget"},
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
        shape=(8, 8),
        maximum=16,
        classes=10,
        threshold=8,
        parts={
            "train": Part(
                1797,
                "8f26b2bd9d135c256808f68f14fdabddde6d9c7f869ae419704b051f0f14b3b3",
                "a3c91c262eddcf7ba8f0e37507c30284493c9b20412ffe4af30d536401f7ba21",
            )
        },
        shuffled=True,
        held_out=(("validation", 250), ("test", 250)),
        embedded=_scikit_learn_digits,
    ),
)

SOURCES: dict[str, Source] = {source.name: source for source in _ALL}
NAMES: tuple[str, ...] = tuple(SOURCES)


def named(name: str) -> Source:
    """The entry of `name`. Raises Refused for a set that is not in the registry."""
    if name not in SOURCES:
        raise Refused(f"unknown data set {name!r}; allowed: {', '.join(SOURCES)}")
    return SOURCES[name]


def describe(name: str) -> str:
    """One line on the set `name`, one of `NAMES`: sizes, labels, origin and address.

    Raises:
        Refused: an unknown name.
    """
    return named(name).summary
