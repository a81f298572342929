"""Files in the authors' formats, whole, damaged and mutated, and what is loaded from them."""

import os
import pickle
import struct
from functools import lru_cache

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_sets import (
    HELD_OUT,
    MNIST_LABEL_FILES,
    WITH_FILES,
    WRITERS,
    caltech_file,
    digest,
    drawn_labels,
    drawn_parts,
    idx,
    make_small,
    mat,
    mnist_files,
    npz,
    omniglot_file,
    one_line,
    static_mnist_files,
    static_mnist_mirror,
    write,
)

import hvae.data
from hvae.data import sources, verification
from hvae.description import DataDescription, Kind
from hvae.errors import Refused


def upright(name, array):
    if name in ("caltech", "omniglot"):
        array = np.stack([row.reshape(28, 28, order="F").ravel() for row in array])
    return 1 - array if name == "caltech" else array


def expected_splits(name):
    arrays = {part: upright(name, array) for part, array in drawn_parts(name).items()}
    train = arrays["train"]
    if name == "omniglot":
        train = train[np.random.RandomState(123).permutation(len(train))]
    if "validation" not in arrays:
        arrays["validation"], train = train[-HELD_OUT:] // 255, train[:-HELD_OUT]
        arrays["test"] = arrays["test"] // 255
    return arrays | {"train": train}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("name", WITH_FILES)
def test_files_in_the_authors_formats(name, packed, monkeypatch, tmp_path):
    files = make_small(monkeypatch, name)
    folder = write(tmp_path / "files", files, packed)
    dataset = hvae.data.load(name, folder, download=False)
    for split, images in expected_splits(name).items():
        loaded = getattr(dataset, split)
        assert loaded.dtype == torch.uint8 and loaded.is_contiguous()
        np.testing.assert_array_equal(loaded.numpy(), images)
    assert dataset.checksum == digest(drawn_parts(name).values())
    assert (dataset.name, dataset.verified, dataset.warnings) == (name, True, ())
    assert dataset.description == DataDescription((28, 28), Kind.BINARY)
    assert dataset.binarization == ("dynamic" if name in ("mnist", "omniglot") else "none")
    images = [file for file in files if file not in MNIST_LABEL_FILES.values()]
    places = [str(folder / (f"{file}.gz" if packed else file)) for file in images]
    assert dataset.source == ", ".join(places)


def test_a_mirror_in_another_container_verifies(monkeypatch, tmp_path):
    write(tmp_path / "authors", make_small(monkeypatch, "static-mnist"))
    write(tmp_path / "mirror", static_mnist_mirror(**drawn_parts("static-mnist")))
    authors = hvae.data.load("static-mnist", tmp_path / "authors")
    mirror = hvae.data.load("static-mnist", tmp_path / "mirror")
    assert mirror.verified and mirror.checksum == authors.checksum
    assert torch.equal(mirror.train, authors.train)


def test_amat_layouts(monkeypatch, tmp_path):
    files = make_small(monkeypatch, "static-mnist")
    loose = {
        name: content.replace(b"\n", b" \r\n").replace(b" ", b"\t ").rstrip() + b"\n\n"
        for name, content in files.items()
    }
    assert hvae.data.load("static-mnist", write(tmp_path / "files", loose)).verified


@pytest.mark.parametrize("name", WITH_FILES)
def test_a_local_file_that_differs_loads_with_a_warning(name, monkeypatch, tmp_path):
    make_small(monkeypatch, name)
    arrays = drawn_parts(name)
    arrays["test"][0, 0] ^= sources.SOURCES[name].maximum
    dataset = hvae.data.load(name, write(tmp_path / "files", WRITERS[name](**arrays)))
    assert dataset.verified is False
    assert dataset.checksum == digest(arrays.values())
    (warning,) = dataset.warnings
    assert f"not results on {sources.SOURCES[name].title}" in warning and "\n" not in warning
    assert warning.split()[0] in dataset.source


def with_pixel(array, value):
    array = array.astype(float)
    array[0, 0] = value
    return array


class Planted:
    """Unpickling one makes a folder."""

    def __reduce__(self):
        return os.mkdir, ("executed",)


@lru_cache
def damaged():
    """(name, files with one that is damaged in one way) by what the damage is."""
    caltech = drawn_parts("caltech")
    static = drawn_parts("static-mnist")
    grey = drawn_parts("mnist")
    planted = np.array([[Planted()]], dtype=object)
    (caltech_name,) = caltech_file(**caltech)
    whole = caltech_file(**caltech)[caltech_name]
    text = static_mnist_files(**static)
    text_name = "binarized_mnist_valid.amat"
    line = text[text_name].index(b"\n") + 1
    npz_name = "binarized_mnist.npz"
    idx_name = "train-images-idx3-ubyte"
    archive = static_mnist_mirror(**static)[npz_name]

    def changed(**parts):
        return "caltech", caltech_file(**(caltech | parts))

    def with_text(content):
        return "static-mnist", text | {text_name: content}

    def with_idx(content):
        return "mnist", mnist_files(**grey) | {idx_name: content}

    raw = mnist_files(**grey)[idx_name]
    return {
        "mat, half": ("caltech", {caltech_name: whole[: len(whole) // 2]}),
        "mat, empty": ("caltech", {caltech_name: b""}),
        "mat, text": ("caltech", {caltech_name: b"<html>sign in first</html>"}),
        "mat, no key": ("caltech", {caltech_name: mat(train_data=caltech["train"])}),
        "mat, fewer rows": changed(train=caltech["train"][:-1]),
        "mat, fewer columns": changed(train=caltech["train"][:, :-1]),
        "mat, transposed": changed(train=caltech["train"].T),
        "mat, NaN": changed(train=with_pixel(caltech["train"], np.nan)),
        "mat, infinite": changed(train=with_pixel(caltech["train"], np.inf)),
        "mat, half a pixel": changed(train=caltech["train"] * 0.5),
        "mat, a two": changed(train=caltech["train"] * 2),
        "mat, negative": changed(train=-caltech["train"].astype(np.int8)),
        "mat, text variable": changed(train="data"),
        "mat, cells": changed(train=np.full((20, 784), "x", dtype=object)),
        "mat, complex": changed(train=caltech["train"] * 1j),
        "mat, sparse": changed(train=scipy.sparse.csc_matrix(caltech["train"].astype(float))),
        "grey mat, NaN": (
            "omniglot",
            omniglot_file(with_pixel(grey["train"], np.nan), grey["test"]),
        ),
        "grey mat, above one": ("omniglot", omniglot_file(grey["train"] * 1.1, grey["test"])),
        "amat, half": with_text(text[text_name][: len(text[text_name]) // 2]),
        "amat, a line less": with_text(text[text_name][line:]),
        "amat, a value less": with_text(text[text_name][2:]),
        "amat, a two": with_text(b"2" + text[text_name][1:]),
        "amat, NaN": with_text(b"nan" + text[text_name][1:]),
        "amat, a number of two digits": with_text(text[text_name].replace(b" ", b"", 1)),
        "amat, lines broken elsewhere": with_text(b"\n".join(text[text_name].split())),
        "amat, empty": with_text(b""),
        "npz, half": ("static-mnist", {npz_name: archive[: len(archive) // 2]}),
        "npz, a pickle": (
            "static-mnist",
            {npz_name: npz(train_data=planted, valid_data=planted, test_data=planted)},
        ),
        "npz, all a pickle": ("static-mnist", {npz_name: pickle.dumps(planted)}),
        "npz, no key": ("static-mnist", {npz_name: npz(train_data=static["train"])}),
        "idx, half": with_idx(raw[: len(raw) // 2]),
        "idx, whole images less": with_idx(raw[: -20 * 28]),
        "idx, longer": with_idx(raw + b"\0"),
        "idx, header only": with_idx(raw[:10]),
        "idx, of labels": with_idx(struct.pack(">4BI", 0, 0, 8, 1, 20) + bytes(20)),
        "idx, of floats": with_idx(raw[:2] + b"\x0d" + raw[3:]),
        "idx, 14x56": with_idx(raw[:8] + struct.pack(">2I", 14, 56) + raw[16:]),
        "idx, fewer rows": with_idx(idx(grey["train"][:-1].reshape(-1, 28, 28))),
    }


@pytest.mark.parametrize("damage", damaged())
def test_a_damaged_file_is_refused_in_one_line(damage, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    name, files = damaged()[damage]
    make_small(monkeypatch, name)
    folder = write(tmp_path / "files", files)
    with pytest.raises(Refused) as error:
        hvae.data.load(name, folder, download=False)
    one_line(error, folder)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "damage, reason",
    [
        ("mat, no key", "it holds no 'val_data'"),
        ("npz, no key", "it holds no 'valid_data'"),
        ("npz, all a pickle", "it is not a zip archive"),
        ("amat, a value less", "its lines do not all have 784 values"),
        ("amat, a number of two digits", "it holds numbers of more than one digit"),
        ("amat, a two", "it is not lines of 784 values 0 or 1"),
        ("idx, of floats", "the header is not that of unsigned bytes in 3 dimensions"),
        ("idx, 14x56", "its images have the shape (14, 56); allowed is (28, 28)"),
        ("mat, fewer rows", "the train part has shape (19, 784); allowed is (20, 784)"),
        ("mat, a two", "the train part has values outside 0..1, or NaN"),
        ("mat, half a pixel", "the train part has values that are not integers"),
        ("mat, complex", "the train part is not an array of numbers"),
    ],
)
def test_the_line_says_what_is_wrong(damage, reason, monkeypatch, tmp_path):
    name, files = damaged()[damage]
    make_small(monkeypatch, name)
    with pytest.raises(Refused) as error:
        hvae.data.load(name, write(tmp_path / "files", files), download=False)
    assert one_line(error).endswith(reason)


@pytest.mark.parametrize("name", WITH_FILES)
def test_a_truncated_gz_is_refused(name, monkeypatch, tmp_path):
    folder = write(tmp_path / "files", make_small(monkeypatch, name), packed=True)
    path = sorted(folder.iterdir())[0]
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(Refused) as error:
        hvae.data.load(name, folder, download=False)
    one_line(error, path)


MUTATED = {name: (name, WRITERS[name], 0, 0) for name in WITH_FILES} | {
    "mirror": ("static-mnist", static_mnist_mirror, 1, 0),
    "labels": ("mnist", mnist_files, 0, 2),
}


@pytest.mark.parametrize("case", MUTATED)
def test_mutated_files_load_or_are_refused(case, monkeypatch):
    name, writer, container, place = MUTATED[case]
    make_small(monkeypatch, name)
    source = sources.SOURCES[name]
    file = source.containers[container][place]
    files = writer(**drawn_parts(name))
    if drawn_labels(name) is not None:
        files = writer(**drawn_parts(name), labels=drawn_labels(name))
    whole = files[file.name.removesuffix(".gz")]
    published = verification.decode(source, file, whole, "file")

    # Most damage worth trying is to the headers, in the first bytes and the last.
    place = st.integers(0, 300) | st.integers(0, len(whole) - 1) | st.integers(-300, -1)

    @settings(max_examples=150, deadline=None, database=None, derandomize=True)
    @given(st.lists(st.tuples(place, st.integers(0, 255)), min_size=1, max_size=4))
    def mutated(changes):
        raw = bytearray(whole)
        for at, byte in changes:
            raw[at % len(raw)] = byte  # a label file is shorter than 300 bytes
        try:
            content = verification.decode(source, file, bytes(raw), "file")
        except Refused as error:
            assert "\n" not in str(error)
        else:
            for part, images in published.images.items():
                assert content.difference or np.array_equal(content.images[part], images)
            for part, labels in content.labels.items():
                assert content.difference or np.array_equal(published.labels[part], labels)

    mutated()
