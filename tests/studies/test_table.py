"""The table of runs: which runs are of one setting, what of them counts, and what is refused."""

import csv
import json
import statistics
from dataclasses import replace

import pytest
from few import config

from hvae import files
from hvae.cli import main
from hvae.errors import Refused
from hvae.model import LIKELIHOODS, MLP, NETWORKS, Bernoulli
from hvae.studies import finished, groups, layout, paper, selection, table
from hvae.studies.folder import StudyFolder
from hvae.studies.plan import plan

SETTING = config(seed=1, kl_weights="equal", parameterization="paper")


def write(folder, settings=SETTING, evaluations=((500, -100.0),), finished="2026-01-01", **result):
    """A run as training and evaluation leave it; evaluations: (samples, LL) or with a seed."""
    folder.mkdir(parents=True)
    files.write_json(folder / "config.json", settings.to_json())
    figures = {"elbo": -120.0, "re": 100.0, "kl": 20.0, "kl_per_shell": [15.0, 5.0]}
    ended = {"completed": True, "diverged": None, "epochs": 3, "best_epoch": 2, "seconds": 4.0}
    validation = {**figures, "kappa": [1.0, 1.0]}
    files.write_json(
        folder / "result.json",
        {**ended, "validation": validation, "data_checksum": "ab", "finished": finished} | result,
    )
    for samples, ll, *seed in evaluations:
        number = seed[0] if seed else settings.seed
        document = {**figures, "iw_samples": samples, "seed": number, "ll": ll, "ll_stderr": 0.5}
        files.write_json(folder / f"eval-test-{samples}-{number}.json", document)
    return folder


def seeds(home, lls, start=1, **settings):
    """A run a seed, with these log-likelihoods."""
    for seed, ll in enumerate(lls, start):
        here = replace(SETTING, seed=seed, **settings)
        name = "-".join([*(f"{k}{v}" for k, v in settings.items()), str(seed)])
        write(home / name.replace("/", "_"), here, [(500, ll)])


def cells(sheet):
    """The cells of the rows of a table as people see them, by the head's names."""
    return [dict(zip(sheet.columns, map(layout.text_of, row), strict=True)) for row in sheet.rows]


def summary(*folders):
    return cells(table.summary(table.gather(folders)))


OTHER = {
    "dataset": "caltech",
    "shells": "3,e3",
    "epochs": 4,
    "warmup": 1,
    "lookahead": 7,
    "batch_size": 20,
    "lr": 1e-4,
    "hidden": (8, 8),
    "kappa_grad": "naive",
    "parameterization": "scaled",
    "kl_weights": "1.5,1.5",
    "samples": 3,
    "likelihood": "other",
    "network": "other",
    "prior": "mixture",
    "prior_components": 7,
    "prior_precision": 70.5,
    "scale_frame": "fixed",
}
# Of a run on a file of one's own.
OF_FILE = {
    "labels": "kind",
    "split": "0.6,0.2,0.2",
    "split_seed": 3,
    "image_shape": "2x2",
    "layer": "raw",
    "covariate": ("donor",),
}


@pytest.fixture(autouse=True)
def others(monkeypatch):
    """Another likelihood and another network, by name."""
    monkeypatch.setitem(LIKELIHOODS.own, "other", Bernoulli)
    monkeypatch.setitem(NETWORKS.own, "other", MLP)


def test_every_setting_is_accounted_for():
    """A setting is other, a seed, or without effect: a new one must be put in its place here."""
    assert set(SETTING.to_json()) == {*OTHER, *OF_FILE, groups.SEED, *groups.WITHOUT_EFFECT}


COLUMNS = {"dataset": "data", "kappa_grad": "gradient", "kl_weights": "KL weights"}
FIGURES = {"LL"}


@pytest.mark.parametrize("name", [*OTHER, *OF_FILE])
def test_runs_that_differ_in_a_setting_are_no_seeds_of_one(name, tmp_path):
    """Each row has the mean of its own runs, and a column has the setting."""
    file = {"data": "/rows.npy"} if name in OF_FILE else {}
    seeds(tmp_path, [-100.0, -104.0], **file)
    seeds(tmp_path, [-200.0, -206.0], start=1, **file, **{name: {**OTHER, **OF_FILE}[name]})
    one, other = summary(tmp_path)
    if one["LL"].startswith("-20"):
        one, other = other, one
    assert one["LL"] == "-102.00 ± 2.83" and other["LL"] == "-203.00 ± 4.24"
    assert one["seeds"] == other["seeds"] == "2"
    different = {column for column in one if one[column] != other[column]} - FIGURES
    shown = COLUMNS.get(name, name)
    assert different == ({shown, "m"} if name == "shells" else {shown})
    values = [getattr(SETTING, name), {**OTHER, **OF_FILE}[name]]
    texts = [",".join(map(str, v)) if isinstance(v, tuple) else str(v) for v in values]
    texts = ["-" if text in ("", "None") else text for text in texts]
    texts = ["1.5" if text == "1.5,1.5" else text for text in texts]
    assert [one[shown], other[shown]] == texts


def test_what_rows_have_in_common_is_said_once(tmp_path):
    seeds(tmp_path, [-100.0])
    seeds(tmp_path, [-104.0], lr=0.1)
    sheet = table.summary(table.gather([tmp_path]))
    assert sheet.title == (
        "parameterization paper, gradient implicit, KL weights equal, importance samples 500"
    )
    assert sheet.columns == (
        *("data", "m", "k", "break-up", "shells", "lr", "seeds", "LL", "ELBO", "RE", "KL"),
    )


@pytest.mark.parametrize(
    "name, value",
    [("device", "cuda"), ("threads", 4), ("products", "onednn"), ("data_dir", "x")],
)
def test_where_a_run_was_computed_makes_no_other_setting(name, value, tmp_path):
    seeds(tmp_path, [-100.0])
    seeds(tmp_path, [-104.0], start=2, **{name: value})
    (line,) = summary(tmp_path)
    assert line["seeds"] == "2" and line["LL"] == "-102.00 ± 2.83"


def test_other_data_make_another_setting(tmp_path):
    write(tmp_path / "one", replace(SETTING, seed=1), data_checksum="ab")
    write(tmp_path / "other", replace(SETTING, seed=2), data_checksum="cd")
    assert [line["data_checksum"] for line in summary(tmp_path)] == ["ab", "cd"]


@pytest.mark.parametrize("newest", ["a", "b", "c"])
def test_a_seed_counts_once_by_the_run_that_ended_last(newest, tmp_path):
    lls = {"a": -100.0, "b": -110.0, "c": -120.0}
    for name, ll in lls.items():
        late = "2026-01-03" if name == newest else "2026-01-02"
        write(tmp_path / name, evaluations=[(500, ll)], finished=late)
    write(tmp_path / "second", replace(SETTING, seed=2), [(500, -130.0)])
    found = table.gather([tmp_path])
    (line,) = cells(table.summary(found))
    pair = [lls[newest], -130.0]
    assert line["seeds"] == "2"
    assert line["LL"] == f"{statistics.mean(pair):.2f} ± {statistics.stdev(pair):.2f}"
    assert [row["seed"] for row in cells(table.details(found))] == ["1", "2"]
    for name, said in zip(sorted(lls.keys() - {newest}), found.notes, strict=True):
        assert said.startswith(f"{tmp_path / name} is left out: {tmp_path / newest} has")

    document = {row["run"]: row for row in table.document(found)["runs"]}
    assert {run for run, row in document.items() if row["left_out_for"] is None} == {
        str(tmp_path / newest),
        str(tmp_path / "second"),
    }
    assert {row["left_out_for"] for row in document.values()} == {None, str(tmp_path / newest)}


def test_a_run_found_twice_is_one_run(tmp_path):
    seeds(tmp_path / "home", [-100.0, -104.0])
    (tmp_path / "again").symlink_to(tmp_path / "home")
    found = table.gather([tmp_path / "again", tmp_path / "home", tmp_path / "home" / "1"])
    assert found.notes == [] and cells(table.summary(found))[0]["seeds"] == "2"


def test_seeds_without_figures_are_counted_and_said(tmp_path):
    seeds(tmp_path, [-100.0, -104.0])
    write(tmp_path / "not", replace(SETTING, seed=3), [])
    lost = {"completed": False, "diverged": {"epoch": 2}}
    write(tmp_path / "lost", replace(SETTING, seed=4), [], **lost)
    found = table.gather([tmp_path])
    (line,) = cells(table.summary(found))
    assert line["seeds"] == "4, 1 diverged, 1 not evaluated" and line["LL"] == "-102.00 ± 2.83"
    lines = cells(table.details(found))
    assert [row["LL"] for row in lines[2:]] == ["not evaluated", "diverged in epoch 2"]
    assert lines[0]["LL"] == "-100.00" and lines[0]["standard error"] == "0.50"
    assert (lines[0]["best epoch"], lines[0]["epochs"], lines[0]["seconds"]) == ("2", "3", "4")
    assert lines[0]["KL of each component"] == "15.00, 5.00"
    assert lines[0]["validation ELBO"] == "-120.00"


def test_a_row_without_any_figure_says_why(tmp_path):
    write(tmp_path / "not", evaluations=[])
    lost = {"completed": False, "diverged": {"epoch": 2}}
    write(tmp_path / "lost", replace(SETTING, lr=1.0), [], **lost)
    by_rate = {row["lr"]: (row["LL"], row["ELBO"], row["seeds"]) for row in summary(tmp_path)}
    assert by_rate == {
        "0.001": ("not evaluated", "-", "1, 1 not evaluated"),
        "1.0": ("diverged", "-", "1, 1 diverged"),
    }


def test_seeds_are_compared_with_one_number_of_samples(tmp_path):
    """The largest that all have; 5000 samples give a higher LL than 500, seed or no seed."""
    write(tmp_path / "1", replace(SETTING, seed=1), [(100, -1.0), (500, -100.0), (5000, -2.0)])
    write(tmp_path / "2", replace(SETTING, seed=2), [(100, -3.0), (500, -104.0)])
    (line,) = summary(tmp_path)
    assert line["LL"] == "-102.00 ± 2.83"
    write(tmp_path / "3", replace(SETTING, seed=3), [(50, -4.0)])
    with pytest.raises(Refused, match=r"3 \(50\); allowed: one number for all its seeds"):
        summary(tmp_path)


def test_settings_that_were_evaluated_with_other_numbers_of_samples_say_so(tmp_path):
    write(tmp_path / "few", evaluations=[(500, -100.0)])
    write(tmp_path / "many", replace(SETTING, lr=0.1), [(5000, -101.0)])
    few, many = summary(tmp_path)
    assert (few["lr"], few["importance samples"]) == ("0.001", "500")
    assert (many["lr"], many["importance samples"]) == ("0.1", "5000")


def test_of_two_evaluations_that_of_the_runs_own_seed_is_taken(tmp_path):
    run = write(
        tmp_path / "a", replace(SETTING, seed=5), [(500, -1.0, 4), (500, -2.0, 5), (500, -3.0, 6)]
    )
    assert finished.read(run).evaluations[500]["ll"] == -2.0
    run = write(
        tmp_path / "b", replace(SETTING, seed=5), [(500, -3.0, 9), (500, -1.0, 7), (500, -2.0, 8)]
    )
    assert finished.read(run).evaluations[500]["ll"] == -1.0


def test_runs_that_go_on_are_passed_over(tmp_path):
    write(tmp_path / "ended")
    (write(tmp_path / "going", replace(SETTING, seed=2)) / "result.json").unlink()
    (line,) = summary(tmp_path)
    assert line["seeds"] == "1" and line["LL"] == "-100.00"


def broken(name, content):
    def change(run):
        (run / name).write_bytes(content)

    return change


def unsealed(name, **change):
    """The file with another content and a right checksum."""

    def rewrite(run):
        document = {**files.read_json(run / name), **change}
        files.write_json(run / name, document)

    return rewrite


@pytest.mark.parametrize(
    "change, said",
    [
        (broken("config.json", b"{"), "config.json: .*is damaged"),
        (broken("result.json", b"[]"), "result.json is damaged"),
        (broken("eval-test-500-1.json", b"\xff\xfe"), "eval-test-500-1.json is damaged"),
        (unsealed("config.json", epochs=0), "--epochs: 0 is not allowed; allowed: an integer"),
        (unsealed("config.json", colour=1), "config.json: .*colour"),
        (unsealed("result.json", validation=None), "result.json is damaged"),
        (unsealed("eval-test-500-1.json", ll=None), "is damaged: it is not an evaluation"),
        (unsealed("eval-test-500-1.json", iw_samples="5"), "is damaged: it is not an evaluation"),
        (unsealed("eval-test-500-1.json", kl_per_shell=[True]), "it is not an evaluation"),
        (lambda run: (run / "result.json").unlink(), "no run in it has ended; allowed: folders"),
        (lambda run: (run / "config.json").unlink(), "it holds no run; allowed: folders"),
    ],
)
def test_what_is_no_run_is_refused_in_one_line(change, said, tmp_path, capfd):
    change(write(tmp_path / "run"))
    assert main(["table", str(tmp_path)]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("hvae: error: ")
    with pytest.raises(Refused, match=said):
        finished.find([tmp_path])


@pytest.mark.parametrize(
    "arguments",
    [["nowhere"], ["no\nwhere"], [], ["run", "--colour"], ["run", "--format", "pdf"]]
    + [["run/config.json"]],
)
def test_wrong_arguments_are_refused_in_one_line(arguments, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "run")
    assert main(["table", *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("hvae: error: ")


def test_a_file_that_cannot_be_read_is_said_in_one_line(tmp_path, monkeypatch, capfd):
    def fail(folders, beside):
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr(table, "find", fail)
    assert main(["table", str(tmp_path)]) == 4
    assert capfd.readouterr().err == f"hvae: error: [Errno 13] Permission denied: '{tmp_path}'\n"


CALTECH = {"dataset": "caltech", "kl_weights": "auto"}


def test_the_row_of_the_paper_stands_beside_ours(tmp_path):
    seeds(tmp_path, [-130.0], shells="3,3,3,3,3,26", **CALTECH)
    seeds(tmp_path, [-131.0], shells="10,10,11,10", **CALTECH)
    seeds(tmp_path, [-132.0], shells="e41", **CALTECH)
    found = table.gather([tmp_path])
    gaussian, four, six = cells(table.summary(found))
    assert (six["k"], six["m"], six["break-up"]) == ("6", "41", "unbalanced")
    assert [six[f"paper {name}"] for name in ("LL", "ELBO", "RE", "KL")] == [
        *("-169.15", "-177.23", "161.68", "15.55"),
    ]
    assert (four["shells"], four["paper LL"]) == ("10,10,11,10", "-139.30")
    assert (gaussian["break-up"], gaussian["paper LL"]) == ("-", "-")
    assert found.notes == [paper.GUESS] and "guess" in paper.GUESS


def test_rows_come_as_in_the_paper(tmp_path):
    """By the number of shells; balanced, leveled, unbalanced."""
    for shells in ("3,3,3,32", "41", "5,9,12,15", "20,21", "10,10,10,11"):
        seeds(tmp_path, [-130.0], shells=shells)
    kinds = [(row["k"], row["break-up"]) for row in summary(tmp_path)]
    assert kinds == [
        *(("1", "balanced"), ("2", "balanced")),
        *(("4", "balanced"), ("4", "leveled"), ("4", "unbalanced")),
    ]


class TestStudy:
    @pytest.fixture
    def study(self, tmp_path):
        def make(**more):
            folder = StudyFolder(tmp_path / "study")
            made = plan({"dataset": "caltech"}, ["41", "20,21"], [1, 2], **more)
            with folder.led():
                folder.save_plan(made)
            return folder, made

        return make

    def test_what_has_not_ended_is_counted(self, study, tmp_path):
        folder, made = study()
        write(folder.run(made.names[0]), made.runs[0].config, [(500, -100.0)])
        seeds(tmp_path / "plain", [-1.0])
        one, two, digits = summary(tmp_path)
        assert (digits["data"], digits["seeds"]) == ("digits", "1")
        assert (one["shells"], one["seeds"], one["LL"]) == ("41", "1, 1 not ended", "-100.00")
        assert (two["shells"], two["seeds"], two["LL"]) == ("20,21", "0, 2 not ended", "not ended")
        assert one["paper LL"] == "-143.49"

    def test_a_study_of_which_nothing_has_ended(self, study):
        folder, _ = study()
        assert [row["LL"] for row in summary(folder.path)] == ["not ended", "not ended"]

    def test_rows_are_those_that_validation_chose(self, study):
        folder, made = study(select={"kl_weights": ("auto", "1.5")})
        for run in made.runs:
            elbo = -150.0 if run.varied["kl_weights"] == "1.5" else -160.0
            validation = {"elbo": elbo, "re": 100.0, "kl": 20.0, "kl_per_shell": [1.0]}
            validation["kappa"] = [1.0]
            write(folder.run(run.name), run.config, [], validation=validation)
        (note,) = table.gather([folder.path]).notes
        assert "kl-weights is not chosen yet: 8 of 8 runs have ended" in note
        names = selection.chosen_runs(folder, selection.settled(folder, made))
        for run in made.runs:
            if run.name in names:
                figures = {"elbo": -120.0, "re": 100.0, "kl": 20.0, "kl_per_shell": [20.0]}
                document = {**figures, "iw_samples": 500, "seed": run.config.seed}
                files.write_json(
                    folder.run(run.name) / f"eval-test-500-{run.config.seed}.json",
                    {**document, "ll": -100.0, "ll_stderr": 0.5},
                )
        found = table.gather([folder.path])
        rows = cells(table.summary(found))
        assert [(row["shells"], row["seeds"]) for row in rows] == [("41", "2"), ("20,21", "2")]
        assert table.summary(found).title.startswith("parameterization exponential, ")
        assert "KL weights 1.5" in table.summary(found).title
        assert "was chosen for every composition by the mean validation ELBO" in found.notes[0]
        assert len(table.details(found).rows) == 8
        choices = cells(table.choices(found))
        assert [row["value"] for row in choices if row[""] == "chosen"] == ["kl-weights 1.5"] * 2
        assert {row["validation ELBO"] for row in choices} == {"-150.00", "-160.00"}


class TestFormats:
    @pytest.fixture
    def folder(self, tmp_path):
        seeds(tmp_path, [-130.0, -131.0], shells="41", **CALTECH)
        seeds(tmp_path, [-140.125], shells="3,3,3,32", **CALTECH)
        return tmp_path

    def shown(self, folder, capfd, *options):
        assert main(["table", str(folder), *options]) == 0
        return capfd.readouterr()

    def test_text(self, folder, capfd):
        out, _ = self.shown(folder, capfd)
        title, _, head, rule, one, four, _, note = out.splitlines()
        assert title.startswith("parameterization paper, gradient implicit, KL weights auto, ")
        assert note == paper.GUESS and set(rule) == {"-", " "}
        assert "-130.50 ± 0.71" in one and "-140.12" in four and "-143.49" in one
        end = head.index("paper LL") + len("paper LL")
        assert one[:end].endswith("-143.49") and four[:end].endswith("-168.25")

    def test_markdown(self, folder, capfd):
        out, _ = self.shown(folder, capfd, "--format", "markdown", "--runs")
        first, second = out.split("\n\n")[1:3]
        assert {line.count("|") for line in first.splitlines()} == {15}
        assert "| caltech | 41 | 1 | balanced | 41 | 2 | -130.50 ± 0.71 |" in first
        assert len(second.splitlines()) == 5

    def test_csv_has_all_digits(self, folder, capfd):
        out, err = self.shown(folder, capfd, "--format", "csv")
        one, four = csv.DictReader(out.splitlines())
        assert float(one["LL"]) == -130.5 and float(one["LL sd"]) == statistics.stdev([130, 131])
        assert float(four["LL"]) == -140.125 and four["LL sd"] == ""
        assert float(four["paper KL"]) == 16.03 and err == paper.GUESS + "\n"

    def test_latex(self, folder, capfd):
        out, _ = self.shown(folder, capfd, "--format", "latex")
        lines = out.splitlines()
        (one,) = [line for line in lines if line.startswith("caltech & 41 & 1 &")]
        assert r"$-$130.50 $\pm$ 0.71" in one and one.endswith(r" \\")
        assert lines.count(r"\toprule") == lines.count(r"\end{tabular}") == 1
        assert lines[-1] == f"% {paper.GUESS}" and one.count("&") == 13

    def test_latex_escapes(self):
        sheet = layout.Sheet("", ("a_b",), (("50% & {x}",), ("-",)))
        assert layout.latex(sheet)[2:6] == [
            *(r"a\_b \\", r"\midrule", r"50\% \& \{x\} \\", r"- \\"),
        ]

    def test_json(self, folder, capfd):
        out, _ = self.shown(folder, capfd, "--format", "json")
        found = json.loads(out)
        assert set(found) == {"rows", "runs", "choices", "notes"}
        one, four = found["rows"]
        assert one["ll"] == {
            **{"mean": -130.5, "values": [-130.0, -131.0]},
            "deviation": statistics.stdev([130, 131]),
        }
        assert (one["seeds"], one["break_up"], one["components"]) == ([1, 2], "balanced", 1)
        assert four["paper"] == {"ll": -168.25, "elbo": -186.47, "re": 170.44, "kl": 16.03}
        assert len(found["runs"]) == 3 and found["runs"][0]["evaluation"]["ll"] == -130.0
