"""What the registry holds of a published set: its files, their identity, and how it is split."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from hvae.data.formats import Arrays
from hvae.description import DataDescription, Kind

Binarization = Literal["none", "dynamic"]


@dataclass(frozen=True)
class Part:
    """The images that a set's files keep together, and their labels.

    rows: how many images.
    sha256: of the images as uint8 [rows, D]. None where only the published file's own bytes are
        known: see `File.blob_sha1`.
    labels_sha256: of the labels as little-endian int64 [rows]. None in that case too, and where
        there are no labels.
    """

    rows: int
    sha256: str | None
    labels_sha256: str | None = None


@dataclass(frozen=True)
class File:
    """A published file. It is looked for as `name`, plain and with .gz.

    read: turns its unpacked bytes into arrays.
    scale: the factor from its numbers to grey levels.
    blob_sha1: git's identity of its bytes.
    optional: the set loads without it, and it is never downloaded.
    """

    name: str
    url: str
    read: Callable[[bytes], Arrays]
    scale: int = 1
    blob_sha1: str | None = None
    optional: bool = False


@dataclass(frozen=True)
class Source:
    """A published set of images, which are black and white or made so.

    title, origin: for a reader: what the set is called, who made it and under which licence.
    shape: of an image.
    maximum: the largest grey level in the files; 1 for a set published in black and white.
    parts: by name, in the order of the checksum; "train" is always one.
    containers: alternatives, each of them all the files of the set.
    embedded: for a set without files: returns its arrays, all in "train", and where they are from.
    classes: how many classes the labels tell apart; None for a set published without labels.
    column_major: an image's columns follow one another in the files, not its rows.
    object_is_zero: 0 is the object in the files, and `maximum` the background.
    threshold: the grey level from which a pixel is 1, for a set binarized once and for all.
    shuffled: the train part is shuffled, always alike, before rows of it are held out.
    held_out: (split, rows) pairs that stand in this order at the end of the train part.
    """

    name: str
    title: str
    origin: str
    shape: tuple[int, ...]
    maximum: int
    parts: Mapping[str, Part]
    containers: tuple[tuple[File, ...], ...] = ()
    embedded: Callable[[], tuple[Arrays, str]] | None = None
    classes: int | None = None
    column_major: bool = False
    object_is_zero: bool = False
    threshold: int | None = None
    shuffled: bool = False
    held_out: tuple[tuple[str, int], ...] = ()

    @property
    def description(self) -> DataDescription:
        """What a model sees: images of 0 and 1."""
        return DataDescription(self.shape, Kind.BINARY)

    @property
    def binarization(self) -> Binarization:
        """That of the train split: "dynamic", drawn from grey levels every epoch, or "none"."""
        return "none" if self.maximum == 1 or self.threshold is not None else "dynamic"

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Images in the train, validation and test splits."""
        rows = {name: part.rows for name, part in self.parts.items()} | dict(self.held_out)
        return rows["train"] - sum(n for _, n in self.held_out), rows["validation"], rows["test"]

    @property
    def summary(self) -> str:
        """One line: what the set is, its sizes, whether it has labels, its origin and address."""
        sizes, shape = "/".join(map(str, self.sizes)), "x".join(map(str, self.shape))
        binarized = {"none": "fixed", "dynamic": "anew every epoch"}[self.binarization]
        images = f"{sizes} images {shape}, binarized {binarized}"
        labels = "no labels" if self.classes is None else f"labels of {self.classes} classes"
        address = f"; {self.containers[0][0].url}" if self.containers else ""
        return f"{self.title}: {images}; {labels}; {self.origin}{address}"
