"""`plot_run` and `hvae plot`: files of a run, the same bytes again, a page without network."""

import base64
import json
import re
import sys
from html.parser import HTMLParser
from xml.etree import ElementTree

import matplotlib
import pytest
from few import config, digits

import hvae
from hvae import data
from hvae.cli import main
from hvae.errors import EnvironmentProblem, Refused
from hvae.plots import PICTURES, kl_strength, plot_run
from hvae.plots.page import Shown, page


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "a & <b>"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load", lambda *arguments, **options: digits())
        hvae.train(config(shells="3,2,e2"), folder)
        yield folder


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    monkeypatch.setattr(data, "load", lambda *arguments, **options: digits())


FEW = ("kl-by-shell", "spheres")


class TestFiles:
    def test_png_and_svg_into_the_run(self, run):
        written = plot_run(run, only=FEW)
        expected = [run / "plots" / f"{n}{suffix}" for n in FEW for suffix in (".png", ".svg")]
        assert written == expected
        assert sorted(run.joinpath("plots").iterdir()) == sorted(expected)
        for path in expected:
            content = path.read_bytes()
            if path.suffix == ".png":
                assert content.startswith(b"\x89PNG") and b"tEXt" not in content
            else:
                assert b"<metadata" not in content and b"<!DOCTYPE" not in content
                ElementTree.fromstring(content)

    def test_the_same_bytes_again_whatever_the_users_settings(self, run, tmp_path):
        names = ["circles"]
        plot_run(run, only=names, html=True, out=tmp_path / "first")
        with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red"}):
            plot_run(run, only=names, html=True, out=tmp_path / "second")
            assert matplotlib.rcParams["font.size"] == 20
        first = {path.name: path.read_bytes() for path in (tmp_path / "first").iterdir()}
        second = {path.name: path.read_bytes() for path in (tmp_path / "second").iterdir()}
        assert len(first) == 3 and first == second

    def test_rows_are_drawn_by_the_seed(self, run, tmp_path):
        pictures = [
            plot_run(run, only=["kl-by-shell"], rows=10, seed=seed, out=tmp_path)[1].read_text()
            for seed in (0, 1)
        ]
        assert pictures[0] != pictures[1]
        assert "10 of 35 rows of the test split of digits" in " ".join(pictures[0].split())

    @pytest.mark.parametrize(("split", "rows"), [("validation", 40), ("train", 130)])
    def test_splits(self, run, tmp_path, split, rows):
        _, svg = plot_run(run, only=["kl-by-shell"], split=split, out=tmp_path)
        assert f"all {rows} rows of the {split} split" in svg.read_text()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"only": ["nothing"]}, "--only: 'nothing' is not allowed; allowed: training, "),
            ({"only": ["wide-shells"]}, "--only: .* has no wide-shells; allowed: training, "),
            ({"split": "all"}, "--split: 'all' is not allowed"),
            ({"rows": 0}, "--rows: 0 is not allowed; allowed: an integer from 1"),
            ({"seed": -1}, "--seed: -1 is not allowed"),
        ],
    )
    def test_what_is_refused_leaves_nothing(self, run, tmp_path, change, message):
        with pytest.raises(Refused, match=message):
            plot_run(run, out=tmp_path / "out", **change)
        assert not (tmp_path / "out").exists()

    def test_a_folder_that_cannot_be_made(self, run, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(EnvironmentProblem, match="file/out cannot be written"):
            plot_run(run, only=["kl-by-shell"], out=tmp_path / "file" / "out")

    def test_without_matplotlib_it_is_one_line(self, run, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        message = re.escape('matplotlib is not installed; to have it: pip install "hvae[plots]"')
        for draw in (lambda: plot_run(run), lambda: kl_strength(run)):
            with pytest.raises(EnvironmentProblem, match=f"^{message}$"):
                draw()


class _Page(HTMLParser):
    """Elements that are open at the end, and every attribute on the way."""

    VOID = frozenset({"meta", "img", "input", "br"})

    def __init__(self):
        super().__init__()
        self.open, self.attributes, self.names = [], [], []

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def text(run, tmp_path_factory):
    """The page with all pictures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load", lambda *arguments, **options: digits())
        return plot_run(run, html=True, out=tmp_path_factory.mktemp("page"))[-1].read_text()


class TestPage:
    def test_it_parses_and_has_every_picture(self, text):
        parsed = _Page()
        parsed.feed(text)
        assert parsed.open == []
        there = [value for name, value in parsed.attributes if name == "id"]
        pictures = [name for name in PICTURES if name != "wide-shells"]
        assert [name for name in there if name in PICTURES] == pictures
        assert parsed.names.count("canvas") == 1

    def test_nothing_comes_from_elsewhere(self, text):
        """No address anywhere, nor in the pictures, but for the names of XML's vocabularies."""
        assert "://" not in text and "default-src 'none'" in text
        parsed = _Page()
        parsed.feed(text)
        sources = [value for name, value in parsed.attributes if name in {"src", "href"}]
        assert len(sources) == len(PICTURES) - 1
        for source in sources:
            head, content = source.split(",", 1)
            assert head == "data:image/svg+xml;base64"
            svg = base64.b64decode(content).decode()
            assert set(re.findall(r"\w+://[^\"]*", svg)) <= {
                "http://www.w3.org/2000/svg",
                "http://www.w3.org/1999/xlink",
            }

    def test_the_points_of_the_globe(self, text):
        [content] = re.findall(r'<script id="points" type="application/json">(.*?)</script>', text)
        document = json.loads(content)
        assert len(document["owner"]) == 35 and len(document["spheres"]) == 1
        points = document["spheres"][0]
        assert len(points) == 3 * 35
        for i in range(0, len(points), 3):
            assert sum(x * x for x in points[i : i + 3]) == pytest.approx(1e6, rel=2e-3)

    def test_texts_are_escaped(self, text, real_view):
        assert "a &amp; &lt;b&gt;" in text and "<b>" not in text
        evil = "</script><script>alert(1)</script>"
        view = type(real_view)(
            **{
                **{name: getattr(real_view, name) for name in real_view.__dataclass_fields__},
                "name": evil,
                "label_names": (evil, '"', "&"),
                "source": evil,
                "facts": {evil: evil},
            }  # fmt: skip
        )
        made = page(view, [Shown("x", evil, '"' + evil, b"<svg/>")])
        assert "alert(1)" in made
        assert made.count("<script") == 2 and made.count("</script") == 2


class TestCommand:
    def test_it_prints_the_files(self, run, tmp_path, capfd):
        assert main(["plot", str(run), "--only", "kl-by-shell", "--out", str(tmp_path)]) == 0
        out, err = capfd.readouterr()
        assert err == "" and out.splitlines() == [
            str(tmp_path / f"kl-by-shell.{suffix}") for suffix in ("png", "svg")
        ]

    def test_kl_strength_needs_no_run(self, tmp_path, capfd):
        assert main(["plot", "--kl-strength", "--out", str(tmp_path / "new"), "--json"]) == 0
        files = json.loads(capfd.readouterr().out)["files"]
        assert files == [str(tmp_path / "new" / f"kl-strength.{s}") for s in ("png", "svg")]
        assert main(["plot", "RUN", "--kl-strength"]) == 2
        assert "RUN is not allowed with --kl-strength" in capfd.readouterr().err

    def test_errors_are_one_line(self, run, tmp_path, capfd, monkeypatch):
        assert main(["plot", str(tmp_path)]) == 2
        assert main(["plot", str(run), "--only", "globe"]) == 2
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        assert main(["plot", str(run)]) == 4
        lines = capfd.readouterr().err.splitlines()
        assert len(lines) == 3 and all(line.startswith("hvae: error: ") for line in lines)
        assert lines[2].endswith('pip install "hvae[plots]"')

    def test_help_needs_no_matplotlib_and_names_the_pictures(self, capfd, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        assert main(["plot", "--help"]) == 0
        out = " ".join(capfd.readouterr().out.split())
        assert all(name in out for name in PICTURES)
