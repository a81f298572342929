"""Small stand-ins for the published sets, in the authors' formats.

Everything about the formats is written out again here, from their descriptions.
"""

import gzip
import hashlib
import io
import struct
from dataclasses import replace

import numpy as np
import scipy.io

from hvae.data import sources, verification
from hvae.data.source import Part

ROWS = {"train": 20, "validation": 7, "test": 6}
HELD_OUT = 5  # rows of the train parts of sets without a validation part
WITH_FILES = ("caltech", "static-mnist", "mnist", "omniglot")
CALTECH_FILE = "caltech101_silhouettes_28_split1.mat"
MNIST_LABEL_FILES = {"train": "train-labels-idx1-ubyte", "test": "t10k-labels-idx1-ubyte"}


def idx(array):
    header = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def amat(array):
    return "".join(" ".join(str(value) for value in row) + "\n" for row in array).encode()


def mat(**variables):
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, variables, do_compression=True)
    return buffer.getvalue()


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def caltech_file(train, validation, test, labels=None):
    variables = {"train_data": train, "val_data": validation, "test_data": test}
    for part, short in (("train", "train"), ("validation", "val"), ("test", "test")):
        if labels is not None:
            variables[f"{short}_labels"] = np.asarray(labels[part])[:, None]
    return {CALTECH_FILE: mat(**variables, classnames="none")}


def static_mnist_files(train, validation, test, labels=None):
    assert labels is None
    names = {"train": train, "valid": validation, "test": test}
    return {f"binarized_mnist_{name}.amat": amat(array) for name, array in names.items()}


def static_mnist_mirror(train, validation, test):
    arrays = {"train_data": train, "valid_data": validation, "test_data": test}
    content = npz(inputsize=784, **{key: array.astype("f4") for key, array in arrays.items()})
    return {"binarized_mnist.npz": content}


def mnist_files(train, test, labels=None):
    files = {
        "train-images-idx3-ubyte": idx(train.reshape(-1, 28, 28)),
        "t10k-images-idx3-ubyte": idx(test.reshape(-1, 28, 28)),
    }
    if labels is not None:
        files |= {name: idx(labels[part]) for part, name in MNIST_LABEL_FILES.items()}
    return files


def omniglot_file(train, test, labels=None):
    variables = {"data": train.T / 255, "testdata": test.T / 255}
    if labels is not None:
        one_hot = {part: np.eye(50)[:, numbers] for part, numbers in labels.items()}
        variables |= {"target": one_hot["train"], "testtarget": one_hot["test"]}
    return {"chardata.mat": mat(**variables)}


WRITERS = {
    "caltech": caltech_file,
    "static-mnist": static_mnist_files,
    "mnist": mnist_files,
    "omniglot": omniglot_file,
}


def drawn_parts(name):
    """Random arrays of `name` as its files hold them; grey ones are 0 or 255, so certain."""
    source = sources.SOURCES[name]
    generator = np.random.default_rng(7)
    return {
        part: source.maximum * generator.integers(0, 2, (ROWS[part], 784), dtype=np.uint8)
        for part in source.parts
    }


def drawn_labels(name):
    """Random labels of `name`, int64 by part; None for a set without labels."""
    source = sources.SOURCES[name]
    if source.classes is None:
        return None
    generator = np.random.default_rng(8)
    return {part: generator.integers(0, source.classes, ROWS[part]) for part in source.parts}


def digest(arrays):
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def make_small(monkeypatch, name, url=None, parts=None):
    """Make `name` a small set and return its files: `parts` (`drawn_parts`) and `drawn_labels`."""
    source, labels = sources.SOURCES[name], drawn_labels(name)
    arrays = drawn_parts(name) if parts is None else parts
    files = WRITERS[name](**arrays, labels=labels)
    containers = tuple(
        tuple(
            replace(
                file,
                url=file.url if url is None else f"{url}/{file.name}",
                blob_sha1=file.blob_sha1 and verification.git_blob_sha1(files[file.name]),
            )
            for file in container
        )
        for container in source.containers
    )
    small = replace(
        source,
        parts={
            part: Part(
                len(array),
                source.parts[part].sha256 and digest([array]),
                source.parts[part].labels_sha256 and digest([labels[part].astype("<i8")]),
            )
            for part, array in arrays.items()
        },
        held_out=tuple((split, HELD_OUT) for split, _ in source.held_out),
        containers=containers,
    )
    monkeypatch.setitem(sources.SOURCES, name, small)
    return files


def write(folder, files, packed=False):
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        path = folder / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(content) if packed else content)
    return folder


def splits_of(dataset):
    return dataset.train, dataset.validation, dataset.test


def one_line(error, *parts):
    """The message, which is a line without numbers of the system and has `parts` in it."""
    text = str(error.value)
    assert "\n" not in text and "Errno" not in text
    for part in parts:
        assert str(part) in text
    return text
