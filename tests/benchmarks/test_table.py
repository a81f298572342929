"""The table of runs: which runs are of one setting, what of them counts, and what is refused."""

import json
import statistics
from dataclasses import replace

import pytest
from few import config

from hvae import files
from hvae.benchmarks.reports import finished, groups, table
from hvae.errors import Refused
from hvae.model import LIKELIHOODS, MLP, NETWORKS, Bernoulli

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


def rows(text):
    """The cells of the lines of a table, by the head's names."""
    head, _, *lines = ([cell.strip() for cell in line.strip("|").split("|")] for line in text)
    assert all(len(line) == len(head) for line in lines)
    return [dict(zip(head, line, strict=True)) for line in lines]


def summary(*folders):
    return rows(table.summary(groups.grouped(finished.find(folders))))


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


@pytest.mark.parametrize("name", [*OTHER, *OF_FILE])
def test_runs_that_differ_in_a_setting_are_no_seeds_of_one(name, tmp_path):
    """Each line has the mean of its own runs, and names the setting, in its column or apart."""
    file = {"data": "/rows.npy"} if name in OF_FILE else {}
    seeds(tmp_path, [-100.0, -104.0], **file)
    seeds(tmp_path, [-200.0, -206.0], start=1, **file, **{name: {**OTHER, **OF_FILE}[name]})
    one, other = summary(tmp_path)
    if one["LL"].startswith("-20"):
        one, other = other, one
    assert one["LL"] == "-102.00 ± 2.83" and other["LL"] == "-203.00 ± 4.24"
    assert one["seeds"] == other["seeds"] == "2"
    different = {column for column in one if one[column] != other[column]} - {"LL"}
    shown = {value: column for column, value in table.COLUMNS.items()}.get(name, "other settings")
    assert different == {shown}
    if shown == "other settings":
        values = [getattr(SETTING, name), {**OTHER, **OF_FILE}[name]]
        texts = [",".join(map(str, v)) if isinstance(v, tuple) else str(v) for v in values]
        texts = ["-" if text in ("", "None") else text for text in texts]
        assert [one[shown], other[shown]] == [f"{name} {text}" for text in texts]
    else:
        assert "other settings" not in one


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
    lines = summary(tmp_path)
    assert [line["other settings"] for line in lines] == ["data_checksum ab", "data_checksum cd"]


@pytest.mark.parametrize("newest", ["a", "b", "c"])
def test_a_seed_counts_once_by_the_run_that_ended_last(newest, tmp_path, capsys):
    lls = {"a": -100.0, "b": -110.0, "c": -120.0}
    for name, ll in lls.items():
        late = "2026-01-03" if name == newest else "2026-01-02"
        write(tmp_path / name, evaluations=[(500, ll)], finished=late)
    write(tmp_path / "second", replace(SETTING, seed=2), [(500, -130.0)])
    assert table.main([str(tmp_path)]) == 0
    *tables, note, again = capsys.readouterr().out.splitlines()
    (line,) = rows(tables[:3])
    pair = [lls[newest], -130.0]
    assert line["seeds"] == "2"
    assert line["LL"] == f"{statistics.mean(pair):.2f} ± {statistics.stdev(pair):.2f}"
    assert [row["seed"] for row in rows(tables[4:8])] == ["1", "2"]
    for name, said in zip(sorted(lls.keys() - {newest}), (note, again), strict=True):
        assert said.startswith(f"{tmp_path / name} is left out: {tmp_path / newest} has")

    assert table.main([str(tmp_path), "--json"]) == 0
    document = {row["run"]: row for row in json.loads(capsys.readouterr().out)}
    assert {run for run, row in document.items() if row["left_out_for"] is None} == {
        str(tmp_path / newest),
        str(tmp_path / "second"),
    }
    assert {row["left_out_for"] for row in document.values()} == {None, str(tmp_path / newest)}


def test_a_run_found_twice_is_one_run(tmp_path, capsys):
    seeds(tmp_path / "home", [-100.0, -104.0])
    (tmp_path / "again").symlink_to(tmp_path / "home")
    folders = [tmp_path / "again", tmp_path / "home", tmp_path / "home" / "1"]
    assert table.main(list(map(str, folders))) == 0
    out = capsys.readouterr().out
    assert "left out" not in out
    assert rows(out.splitlines()[:3])[0]["seeds"] == "2"


def test_seeds_without_figures_are_counted_and_said(tmp_path):
    seeds(tmp_path, [-100.0, -104.0])
    write(tmp_path / "not", replace(SETTING, seed=3), [])
    lost = {"completed": False, "diverged": {"epoch": 2}}
    write(tmp_path / "lost", replace(SETTING, seed=4), [], **lost)
    found = groups.grouped(finished.find([tmp_path]))
    (line,) = rows(table.summary(found))
    assert line["seeds"] == "4, 1 diverged, 1 not evaluated" and line["LL"] == "-102.00 ± 2.83"
    lines = rows(table.details(found))
    assert [row["LL"] for row in lines[2:]] == ["not evaluated", "diverged in epoch 2"]
    assert lines[0]["LL"] == "-100.00 ± 0.50" and lines[0]["best epoch"] == "2 of 3"
    assert lines[0]["KL of each component"] == "15.00, 5.00"


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
    assert few["other settings"] == "lr 0.001, iw_samples 500"
    assert many["other settings"] == "lr 0.1, iw_samples 5000"


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
def test_what_is_no_run_is_refused_in_one_line(change, said, tmp_path, capsys):
    change(write(tmp_path / "run"))
    assert table.main([str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("hvae: error: ")
    with pytest.raises(Refused, match=said):
        finished.find([tmp_path])


@pytest.mark.parametrize(
    "arguments", [["nowhere"], ["no\nwhere"], [], ["run", "--colour"], ["run/config.json"]]
)
def test_wrong_arguments_are_refused_in_one_line(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "run")
    assert table.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "allowed: " in err


def test_many_equal_shells_are_counted():
    assert table.short("2," * 19 + "2") == "20 x 2"
    assert table.short("5,5,5,5") == "5,5,5,5"
