"""Downloads: what is kept, what is refused, and what is said without a network."""

import gzip
import resource
import socket
from collections import Counter
from dataclasses import replace

import pytest
from small_sets import (
    WITH_FILES,
    WRITERS,
    drawn_parts,
    make_small,
    one_line,
    static_mnist_mirror,
    write,
)

import hvae.data
from hvae.data import fetch, folders, formats, sources, verification
from hvae.data.source import File
from hvae.errors import EnvironmentProblem, Refused


def served(server, monkeypatch, name):
    """Make `name` a small set that the server has, under the names of its registry."""
    files = make_small(monkeypatch, name, server.url)
    for file in (file for container in sources.SOURCES[name].containers for file in container):
        content = files.get(file.name.removesuffix(".gz"))
        if content is not None:
            packed = gzip.compress(content) if file.name.endswith(".gz") else content
            server.files[f"/{file.name}"] = packed
    return files


@pytest.mark.parametrize("name", WITH_FILES)
def test_a_download_is_kept_in_the_cache(name, server, monkeypatch, cache):
    served(server, monkeypatch, name)
    reports = []
    dataset = hvae.data.load(name, progress=lambda *report: reports.append(report))
    assert dataset.verified and dataset.warnings == ()
    demanded = [file.name for file in sources.SOURCES[name].containers[0] if not file.optional]
    contents = {file: server.files[f"/{file}"] for file in demanded}
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == contents
    for file, content in contents.items():
        done = [bytes_ for name_, bytes_, total in reports if name_ == file]
        assert done == sorted(done) and done[-1] == len(content)
        assert all(total == len(content) for name_, _, total in reports if name_ == file)
    assert server.requests == [f"/{file}" for file in demanded]
    again = hvae.data.load(name)
    assert again.checksum == dataset.checksum and again.source == dataset.source
    assert server.requests == [f"/{file}" for file in demanded]


@pytest.mark.parametrize("name", WITH_FILES)
def test_a_download_is_decoded_once_and_not_read_again(name, server, monkeypatch):
    served(server, monkeypatch, name)
    decoded = Counter()

    def counting(file):
        def read(raw):
            decoded[file.name] += 1
            return file.read(raw)

        return replace(file, read=read)

    source = sources.SOURCES[name]
    containers = tuple(tuple(map(counting, container)) for container in source.containers)
    monkeypatch.setitem(sources.SOURCES, name, replace(source, containers=containers))
    monkeypatch.setattr(folders, "read", None)
    assert hvae.data.load(name).verified
    assert decoded == {file.name: 1 for file in containers[0] if not file.optional}


def test_only_the_absent_files_are_downloaded(server, monkeypatch, tmp_path, cache):
    files = served(server, monkeypatch, "mnist")
    folder = write(
        tmp_path / "files", {"train-images-idx3-ubyte": files["train-images-idx3-ubyte"]}
    )
    cache.mkdir(parents=True)  # as an earlier download leaves it
    dataset = hvae.data.load("mnist", folder)
    assert dataset.verified
    fetched = cache / "t10k-images-idx3-ubyte.gz"
    assert list(cache.iterdir()) == [fetched]
    assert dataset.source == f"{folder / 'train-images-idx3-ubyte'}, {fetched}"


def test_the_mirror_serves_where_the_authors_do_not(server, monkeypatch, cache):
    make_small(monkeypatch, "static-mnist", server.url)
    (name, content), *_ = static_mnist_mirror(**drawn_parts("static-mnist")).items()
    server.files[f"/{name}"] = content
    dataset = hvae.data.load("static-mnist")
    assert dataset.verified and dataset.source == str(cache / name)
    assert server.requests == ["/binarized_mnist_train.amat", f"/{name}"]


@pytest.mark.parametrize("name", WITH_FILES)
def test_a_download_that_differs_is_refused_and_not_kept(name, server, monkeypatch, cache):
    served(server, monkeypatch, name)
    arrays = drawn_parts(name)
    arrays["train"][0, 0] ^= sources.SOURCES[name].maximum
    file, content = next(iter(WRITERS[name](**arrays).items()))
    path = next(path for path in server.files if path.startswith(f"/{file}"))
    server.files[path] = gzip.compress(content) if path.endswith(".gz") else content
    with pytest.raises(Refused) as error:
        hvae.data.load(name)
    one_line(error, server.url + path, "another file than the published one", cache)
    assert list(cache.iterdir()) == []


def test_a_page_in_place_of_the_file_is_refused_and_not_kept(server, monkeypatch, cache):
    make_small(monkeypatch, "caltech", server.url)
    (file,) = sources.SOURCES["caltech"].containers[0]
    server.files[f"/{file.name}"] = b"<html>\n<body>sign in first</body>\n</html>"
    with pytest.raises(Refused) as error:
        hvae.data.load("caltech")
    one_line(error, file.url)
    assert list(cache.iterdir()) == []


def test_a_connection_that_breaks_off_leaves_nothing(server, monkeypatch, cache):
    served(server, monkeypatch, "caltech")
    server.cut = 10
    with pytest.raises(EnvironmentProblem) as error:
        hvae.data.load("caltech")
    one_line(error, "broke off", sources.SOURCES["caltech"].containers[0][0].url, cache)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("told", [True, False], ids=["length told", "length not told"])
@pytest.mark.parametrize("length", [199, 200, 201, 300])
def test_more_bytes_than_any_published_file_has_are_not_taken(length, told, server, monkeypatch):
    monkeypatch.setattr(fetch, "_CHUNK_BYTES", 100)
    monkeypatch.setattr(fetch, "_LIMIT_BYTES", 200)
    server.files["/file"], server.told = bytes(length), told
    file = File("file", f"{server.url}/file", formats.read_npz)
    if length <= 200:
        assert fetch.download(file, None) == bytes(length)
    else:
        with pytest.raises(fetch.NoNetwork) as error:
            fetch.download(file, None)
        one_line(error, "file: more than 200 bytes came")


@pytest.mark.parametrize("name", WITH_FILES)
def test_without_a_network_the_file_the_address_and_the_place_are_named(name, monkeypatch, cache):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]  # nothing listens there once it is closed
    make_small(monkeypatch, name, f"http://127.0.0.1:{port}")
    with pytest.raises(EnvironmentProblem) as error:
        hvae.data.load(name)
    for file in (file for files in sources.SOURCES[name].containers for file in files):
        text = one_line(error, cache, "$HVAE_DATA_DIR", "refused")
        assert (f"{file.name} ({file.url})" in text) != file.optional


def test_a_cache_that_cannot_be_made_is_told_before_the_download(server, monkeypatch, cache):
    served(server, monkeypatch, "caltech")
    cache.parent.touch()
    with pytest.raises(EnvironmentProblem) as error:
        hvae.data.load("caltech")
    one_line(error, cache, "$HVAE_DATA_DIR")
    assert server.requests == []


def test_a_full_disk_leaves_nothing(server, monkeypatch, cache):
    served(server, monkeypatch, "caltech")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, hard))
    try:
        with pytest.raises(EnvironmentProblem) as error:
            hvae.data.load("caltech")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    one_line(error, cache, "make room")
    assert list(cache.iterdir()) == []


def test_git_blob_sha1_is_that_of_git():
    """What `git hash-object` prints for an empty file and for the examples of the Pro Git book."""
    for content, printed in (
        (b"", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"),
        (b"what is up, doc?", "bd9dbf5aae1a3862dd1526723246b20206e5fc37"),
        (b"test content\n", "d670460b4b4aece5915caf5c68d12f560a9fe3e4"),
    ):
        assert verification.git_blob_sha1(content) == printed
