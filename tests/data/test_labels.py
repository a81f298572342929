"""Labels: those that the files have, split as the images are, and never demanded."""

import numpy as np
import pytest
import sklearn.datasets
import torch
from small_sets import (
    CALTECH_FILE,
    HELD_OUT,
    MNIST_LABEL_FILES,
    WITH_FILES,
    WRITERS,
    drawn_labels,
    drawn_parts,
    idx,
    make_small,
    mat,
    one_line,
    splits_of,
    write,
)

import hvae.data
from hvae.errors import Refused

WITH_LABELS = tuple(name for name in WITH_FILES if name != "static-mnist")


def expected_labels(name):
    labels = drawn_labels(name)
    train = labels["train"]
    if name == "omniglot":
        train = train[np.random.RandomState(123).permutation(len(train))]
    if "validation" in labels:
        return labels
    return {**labels, "validation": train[-HELD_OUT:], "train": train[:-HELD_OUT]}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("name", WITH_LABELS)
def test_labels_are_split_as_the_images_are(name, packed, monkeypatch, tmp_path):
    folder = write(tmp_path / "files", make_small(monkeypatch, name), packed)
    dataset = hvae.data.load(name, folder, download=False)
    assert dataset.verified and set(dataset.labels) == {"train", "validation", "test"}
    for split, labels in expected_labels(name).items():
        assert dataset.labels[split].dtype == torch.int64
        assert len(dataset.labels[split]) == len(getattr(dataset, split))
        np.testing.assert_array_equal(dataset.labels[split].numpy(), labels)


def test_the_labels_of_the_digits():
    dataset = hvae.data.load("digits")
    digits = sklearn.datasets.load_digits()
    place = np.random.RandomState(123).permutation(1797)
    for split, rows in (("train", place[:1297]), ("validation", place[1297:1547])):
        np.testing.assert_array_equal(dataset.labels[split], digits.target[rows])
    np.testing.assert_array_equal(dataset.labels["test"], digits.target[place[1547:]])
    assert [len(images) for images in splits_of(dataset)] == [1297, 250, 250]


@pytest.mark.parametrize("name", WITH_FILES)
def test_a_set_loads_without_labels(name, monkeypatch, tmp_path):
    """Omniglot's file is known by its bytes alone, so another one is told as such."""
    make_small(monkeypatch, name)
    folder = write(tmp_path / "files", WRITERS[name](**drawn_parts(name)))
    dataset = hvae.data.load(name, folder, download=False)
    assert dataset.labels is None
    assert dataset.verified == (name != "omniglot")


@pytest.mark.parametrize("part", ["train", "test"])
def test_labels_of_a_part_alone_are_not_used(part, monkeypatch, tmp_path):
    files = make_small(monkeypatch, "mnist")
    del files[MNIST_LABEL_FILES[part]]
    dataset = hvae.data.load("mnist", write(tmp_path / "files", files), download=False)
    assert dataset.verified and dataset.labels is None


@pytest.mark.parametrize("name", ["caltech", "mnist"])
def test_other_labels_than_the_published_ones_are_told(name, monkeypatch, tmp_path):
    make_small(monkeypatch, name)
    labels = drawn_labels(name)
    labels["test"] = np.roll(labels["test"], 1)
    folder = write(tmp_path / "files", WRITERS[name](**drawn_parts(name), labels=labels))
    dataset = hvae.data.load(name, folder, download=False)
    assert dataset.verified is False
    (warning,) = dataset.warnings
    assert "the SHA-256 of its decoded test labels is" in warning and str(folder) in warning
    np.testing.assert_array_equal(dataset.labels["test"].numpy(), labels["test"])


def caltech_with(**labels):
    """The small Caltech file whose label variables are exactly `labels`."""
    parts = drawn_parts("caltech")
    images = {"train_data": parts["train"], "val_data": parts["validation"]}
    return {CALTECH_FILE: mat(**images, test_data=parts["test"], **labels)}


LABELS = np.arange(20)
DAMAGED_CALTECH = {
    "one less": LABELS[:-1, None],
    "two a row": np.zeros((20, 2, 1)),
    "none": np.zeros((0, 0)),
    "above the classes": 102 + LABELS[:, None],
    "negative": -LABELS[:, None],
    "NaN": np.where(LABELS == 3, np.nan, 1.0)[:, None],
    "half a class": LABELS[:, None] / 2,
    "text": "labels",
    "cells": np.full((20, 1), "x", dtype=object),
    "complex": LABELS[:, None] * 1j,
}


@pytest.mark.parametrize("damage", DAMAGED_CALTECH)
def test_damaged_labels_are_refused_in_one_line(damage, monkeypatch, tmp_path):
    make_small(monkeypatch, "caltech")
    content = caltech_with(train_labels=DAMAGED_CALTECH[damage])
    folder = write(tmp_path / "files", content)
    with pytest.raises(Refused) as error:
        hvae.data.load("caltech", folder, download=False)
    one_line(error, folder)


RAW = idx(LABELS % 10)
DAMAGED_MNIST = {
    "half": RAW[: len(RAW) // 2],
    "empty": b"",
    "longer": RAW + b"\0",
    "one less": idx(LABELS[:-1] % 10),
    "above the classes": idx(LABELS),
    "of images": idx(np.zeros((20, 28, 28))),
}


@pytest.mark.parametrize("damage", DAMAGED_MNIST)
def test_a_damaged_label_file_is_refused_in_one_line(damage, monkeypatch, tmp_path):
    files = make_small(monkeypatch, "mnist") | {MNIST_LABEL_FILES["train"]: DAMAGED_MNIST[damage]}
    folder = write(tmp_path / "files", files)
    with pytest.raises(Refused) as error:
        hvae.data.load("mnist", folder, download=False)
    one_line(error, folder / MNIST_LABEL_FILES["train"])
