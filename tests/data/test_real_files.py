"""The published files, in $HVAE_DATA_DIR.

The tests of a set that is not there are not collected.
"""

import os
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from small_sets import WITH_FILES, digest, splits_of

import hvae.data
from hvae.data import folders, sources
from hvae.data.folders import Place

pytestmark = pytest.mark.data

REAL_FOLDER = Path(os.environ.get("HVAE_DATA_DIR") or os.devnull)
REAL_PLACES = [Place(REAL_FOLDER, "$HVAE_DATA_DIR")]


def is_real(name, labels=False):
    """Whether the files of `name` are there, and where it has files of labels, those too."""
    return any(
        all(folders.find(file, REAL_PLACES) for file in container if labels or not file.optional)
        for container in sources.SOURCES[name].containers
    )


REAL = [name for name in WITH_FILES if is_real(name)]
LABELLED = [name for name in ("caltech", "mnist") if is_real(name, labels=True)]


# SHA-256 of the rows of each split, and of epoch(seed=1, epoch=3). Those of Omniglot are not here:
# the folder may hold a stand-in for its file.
PINNED = {
    "caltech": {
        "checksum": "11cd55e302d978b87f48ad83c00dc6ed0c9b1dba40152ef4d9073bfd6e4594ae",
        "train": "cb0a788db5095e4fbefdfa06cae30029507f2582d76d021ad30a08588774ca76",
        "validation": "1b9c3b942673aed8b85b69d149013de14565a0f7efd9ebf21655d0c4262a66d6",
        "test": "36fc4a2cc67cf73f78af709ed2228bdd1eb9feb6567b0b6a15fe2c80f83eab3f",
        "epoch": "cb0a788db5095e4fbefdfa06cae30029507f2582d76d021ad30a08588774ca76",
    },
    "static-mnist": {
        "checksum": "07ad6da6ba6894a550cb68ae290ff3deb006a01f6b6ce1b3123edec502f1fce8",
        "train": "43490d4d6ac9002727af4426d8748609fdb7e4094fa65ad8d681ea60082a7a5a",
        "validation": "069b4f0beb389b776478c3e872b4df71c95ac4be64d7cbe6d32e24ebac8e6d5e",
        "test": "ca0294c3b8d984c7a1dc891015a8eea6f37bae59a34e35ea0fc8c47110a8dd86",
        "epoch": "43490d4d6ac9002727af4426d8748609fdb7e4094fa65ad8d681ea60082a7a5a",
    },
    "mnist": {
        "checksum": "5b92582eb909c82a9bfefcd44acbe9233be3eb5b419a44cf211022ad2bf4bf96",
        "train": "c80ceb24eedca80f31cfca280b8fb911cbb41b9990f998bebd40e26b1ab6d0f8",
        "validation": "c57313ce6e9f328fcfa21b1ecef94a97a6dce9c00e36b900f23f00bbfe45f750",
        "test": "6fd4b1784026563d9934fc42b2d31266fb12c0c9de6c7130e6c82adc07234857",
        "epoch": "4327f275e06f1a1fe9220675ad799feda31f9d3bc2e22b7b57fe8ed7a88caa1d",
    },
}


@lru_cache
def real(name):
    return hvae.data.load(name, REAL_FOLDER, download=False)


def pictures(name, split):
    images = getattr(real(name), split).numpy().reshape(-1, *real(name).description.shape)
    return images / (255 if images.max() > 1 else 1)


class TestRealFiles:
    """Not collected where there are none."""

    __test__ = bool(REAL)

    @pytest.mark.parametrize("name", REAL)
    def test_sizes_and_identity(self, name):
        dataset = real(name)
        assert tuple(len(split) for split in splits_of(dataset)) == sources.SOURCES[name].sizes
        for images in (dataset.validation, dataset.test):
            assert images.unique().tolist() == [0, 1]
        if name == "omniglot":  # the published file may be there, or a stand-in for it
            assert dataset.verified == (dataset.warnings == ())
        else:
            assert dataset.verified and dataset.warnings == ()

    @pytest.mark.parametrize("name", [name for name in REAL if name in PINNED])
    def test_every_split_stays_what_it_is(self, name):
        """A change here changes every published figure."""
        dataset = real(name)
        rows = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
        rows["epoch"] = dataset.epoch(seed=1, epoch=3)
        digests = {split: digest([images.numpy()]) for split, images in rows.items()}
        assert {"checksum": dataset.checksum, **digests} == PINNED[name]

    @pytest.mark.parametrize("name", LABELLED)
    def test_the_labels_are_those_of_the_rows(self, name):
        """The class whose mean train image is nearest is right for about half of the silhouettes
        and for four of five digits. If rows and labels did not belong together, it would be right
        as often as the classes agree by chance, for at most one row in eight."""
        dataset = real(name)
        labels = {split: classes.numpy() for split, classes in dataset.labels.items()}
        assert np.unique(labels["train"]).size == sources.SOURCES[name].classes
        train = pictures(name, "train").reshape(len(dataset.train), -1)
        classes = np.unique(labels["train"])
        means = np.stack([train[labels["train"] == k].mean(0) for k in classes])
        for split, rows in (("validation", dataset.validation), ("test", dataset.test)):
            nearest = classes[torch.cdist(rows.double(), torch.from_numpy(means)).argmin(1)]
            assert np.mean(nearest == labels[split]) > 0.4

    @pytest.mark.parametrize("name", REAL)
    def test_the_object_is_one(self, name):
        """Objects fill the middle of the picture and do not touch its border."""
        for split in ("train", "validation", "test"):
            mean = pictures(name, split).mean(0)
            border = np.concatenate([mean[0], mean[-1], mean[:, 0], mean[:, -1]]).mean()
            assert border < 0.05 and mean[11:17, 11:17].mean() > 0.2

    @pytest.mark.parametrize("name", REAL)
    def test_the_pictures_are_upright(self, name):
        """Digits are taller than wide; silhouettes of things, and written characters on average,
        are nearer to their mirror image than to what they are upside down. Transposed pictures
        fail either."""
        images = pictures(name, "test")
        if "mnist" in name:
            mass, places = images.mean(0), np.arange(28)
            height, width = (np.cov(places, aweights=mass.sum(axis)) for axis in (1, 0))
            assert height > 1.3 * width
        else:
            shown = images if name == "caltech" else images.mean(0, keepdims=True)
            mirrored = np.abs(shown - shown[:, :, ::-1]).mean()
            turned = np.abs(shown - shown[:, ::-1]).mean()
            assert turned > 1.2 * mirrored


class TestRealMnist:
    """Not collected where one of the two sets is missing."""

    __test__ = {"mnist", "static-mnist"} <= set(REAL)

    def test_static_and_grey_mnist_have_the_same_mean_image(self):
        """Both hold the same 60,000 digits. A pixel's mean over 50,000 draws has a standard error
        of at most 0.0023; the difference of two that is beyond 0.02 is beyond 6 of its own."""
        binary, grey = (pictures(name, "train").mean(0) for name in ("static-mnist", "mnist"))
        assert np.abs(binary - grey).max() < 0.02
        assert np.abs(binary - grey.T).max() > 0.2
