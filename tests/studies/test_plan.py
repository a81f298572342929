"""Plans and the language of --grid: which runs, under which names, and what is refused."""

import json

import pytest

from hvae.errors import Refused
from hvae.runs import TrainConfig
from hvae.studies import grid
from hvae.studies.plan import Plan, plan, short_shells

SHELLS, SEEDS = ("3,e2", "4"), (1, 2)
CIRCLES = ",".join(["2"] * 20)


def names(**more):
    return list(plan({}, SHELLS, SEEDS, **more).names)


def test_every_composition_with_the_first_seed_then_with_the_second():
    assert names() == [
        *("digits-3,e2-seed1", "digits-4-seed1"),
        *("digits-3,e2-seed2", "digits-4-seed2"),
    ]


def test_every_value_of_the_grid_and_of_the_selection():
    found = plan(
        {"epochs": 7},
        ["4"],
        [3],
        varied={"lr": ("0.1", "0.2")},
        select={"kl_weights": ("auto", "1.5"), "hidden": ("8,4", "6")},
        samples=9,
    )
    assert len(found.runs) == 8 and len(set(found.names)) == 8
    assert found.samples == 9 and found.select == ("kl_weights", "hidden")
    run = found.run("digits-4-lr=0.2-kl_weights=1.5-hidden=8,4-seed3")
    assert run.config == TrainConfig(
        shells="4", seed=3, epochs=7, lr=0.2, kl_weights="1.5", hidden=(8, 4)
    )
    assert run.varied == {"lr": "0.2", "kl_weights": "1.5", "hidden": "8,4"}
    with pytest.raises(Refused, match="nothing is not a run of this study; allowed: digits-4-lr"):
        found.run("nothing")


def test_values_hold_for_compositions_of_any_number_of_shells():
    """1.5 is a weight for each component, however many there are."""
    found = plan({"kl_weights": "1.5"}, ["4", "2,2,2"], [1])
    assert [run.config.kl_weights for run in found.runs] == ["1.5", "1.5,1.5,1.5"]


def test_another_network_has_its_own_widths():
    found = plan({}, ["4"], [1], varied={"network": ("mlp", "gated")})
    assert [run.config.hidden for run in found.runs] == [(256, 128), (300, 300)]


def test_runs_that_are_the_same_are_one():
    assert len(plan({}, ["4", " 4"], [1, 1]).runs) == 1
    assert len(plan({}, ["4"], [1], varied={"lr": ("0.1", "0.10", "1e-1")}).runs) == 1


def test_names_are_short_plain_and_different():
    found = plan({}, [CIRCLES], [1], varied={"split_seed": ("0",)})
    assert found.names == ("digits-20x2-split_seed=0-seed1",)
    shells = [",".join(["2", "3"] * n) for n in (30, 31)]
    found = plan({}, shells, [1, 2])
    assert len(set(found.names)) == 4
    for name in found.names:
        assert len(name) <= 100 and set(name) <= set("digts-23,_") | set("0123456789abcdef")


def test_sizes_are_counted():
    assert short_shells("10,10,10,11") == "10,10,10,11"
    assert short_shells(CIRCLES + ",3") == "20x2,3"
    assert short_shells("e41") == "e41"


def test_it_comes_back_from_json():
    found = plan({}, SHELLS, SEEDS, select={"lr": ("0.1", "0.2")}, samples=3)
    assert Plan.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 2}, "schema 2; allowed: 1"),
        ({"runs": {}}, "damaged"),
        ({"samples": -1}, "damaged"),
        ({"select": [1]}, "damaged"),
        ({"runs": [{"name": "a"}]}, "damaged"),
        ({"runs": [{"name": "../a", "varied": {}, "config": TrainConfig().to_json()}]}, "damaged"),
        ({"runs": [{"name": "a", "varied": {"lr": 1}, "config": {}}]}, "damaged"),
        ({"runs": [{"name": "a", "varied": {}, "config": {}}]}, "config: absent"),
    ],
)
def test_damaged_json_is_refused(change, said):
    with pytest.raises(Refused, match=said):
        Plan.from_json({**plan({}, SHELLS, SEEDS).to_json(), **change})


class TestJoined:
    def test_more_seeds_and_shells_are_added(self):
        one, other = plan({}, ["4"], [1]), plan({}, ["4", "5"], [1, 2])
        joined = one.joined(other)
        assert joined.names == (
            *("digits-4-seed1", "digits-5-seed1"),
            *("digits-4-seed2", "digits-5-seed2"),
        )
        assert joined.joined(one) == joined and one.joined(one) == one

    def test_other_settings_under_a_name_are_refused(self):
        with pytest.raises(Refused, match="other settings: epochs 300, not 5; allowed: those"):
            plan({}, ["4"], [1]).joined(plan({"epochs": 5}, ["4"], [1]))

    def test_where_it_runs_may_be_another(self):
        one = plan({"threads": 1}, ["4"], [1])
        with pytest.raises(Refused, match="threads"):
            one.joined(plan({"threads": 2}, ["4"], [1]))
        assert one.joined(plan({"checkpoint_every": 1.0}, ["4"], [1])) == one

    def test_another_number_of_samples_is_refused(self):
        with pytest.raises(Refused, match="--iw-samples: 9 is not allowed; allowed: 500, as"):
            plan({}, ["4"], [1]).joined(plan({}, ["4"], [1], samples=9))

    def test_nothing_is_added_to_what_validation_chooses(self):
        one = plan({}, ["4"], [1], select={"lr": ("0.1", "0.2")})
        for other in (plan({}, ["4"], [1]), plan({}, ["4"], [1], select={"lr": ("0.1", "0.3")})):
            with pytest.raises(Refused, match="chooses by validation"):
                one.joined(other)
            with pytest.raises(Refused, match="chooses by validation"):
                other.joined(one)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([], [1]), "a sweep needs --shells or --table, and --seeds"),
        ((["4"], []), "a sweep needs --shells or --table, and --seeds"),
        ((["1"], [1]), "'1' is too small"),
        ((["4"], [-1]), "--seed: -1 is not allowed"),
        ((["4"], range(10_001)), "more than 10000 runs"),
    ],
)
def test_what_is_no_plan(arguments, said):
    with pytest.raises(Refused, match=said):
        plan({}, *arguments)


def test_a_key_is_varied_once():
    both = {"varied": {"lr": ("0.1",)}, "select": {"lr": ("0.2",)}}
    with pytest.raises(Refused, match="--select: 'lr' is not allowed; allowed: another key than"):
        plan({}, ["4"], [1], **both)


class TestGrid:
    def test_keys_are_the_settings_that_decide(self):
        assert {"lr", "kl_weights", "prior", "dataset"} <= set(grid.keys())
        assert not {"shells", "seed", "data_dir", "checkpoint_every", "data"} & set(grid.keys())

    def test_validation_does_not_choose_the_data(self):
        assert {"lr", "kl_weights"} <= set(grid.keys("select"))
        for text in ("dataset=digits;caltech", "split=0.8,0.1,0.1", "likelihood=auto;poisson"):
            with pytest.raises(Refused, match="--select: '.*' cannot be varied; allowed: prior, "):
                grid.parse("select", [text])
            grid.parse("grid", [text])

    def test_it_parses(self):
        found = grid.parse("grid", ["kl-weights=auto; 1.5", "hidden=8,4;6"])
        assert found == {"kl_weights": ("auto", "1.5"), "hidden": ("8,4", "6")}
        assert list(grid.points({})) == [{}]
        assert list(grid.points({"a": ("1", "2"), "b": ("3",)})) == [
            {"a": "1", "b": "3"},
            {"a": "2", "b": "3"},
        ]

    def test_values_have_the_type_of_the_setting(self):
        point = {"lr": "1e-3", "epochs": "5", "hidden": "8,4", "prior": "vamp", "covariate": "a,b"}
        assert grid.typed("grid", point) == {
            **{"lr": 1e-3, "epochs": 5, "hidden": (8, 4)},
            **{"prior": "vamp", "covariate": ("a", "b")},
        }

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("lr", "--grid: 'lr' is not allowed; allowed: KEY=V1;V2"),
            ("rate=1", "--grid: 'rate' cannot be varied; allowed: dataset, "),
            ("seed=1;2", "'seed' cannot be varied"),
            ("shells=4", "'shells' cannot be varied"),
            ("lr=1;1", "every key and every value once"),
        ],
    )
    def test_what_is_refused(self, text, said):
        with pytest.raises(Refused, match=said):
            grid.parse("grid", [text])

    def test_a_key_comes_once(self):
        with pytest.raises(Refused, match="every key and every value once"):
            grid.parse("grid", ["lr=1", "lr=2"])

    @pytest.mark.parametrize("text", ["few", "1.5", ""])
    def test_words_for_a_number(self, text):
        with pytest.raises(Refused, match="--select: epochs: .* is not allowed; allowed: an integ"):
            grid.typed("select", {"epochs": text})
