"""The measuring scripts of datasets and statistics run on small input and say what they should."""

import json

from benchmarks import load_datasets, statistics_check


def test_every_folder_with_data_is_measured(tmp_path):
    own, broken = tmp_path / "own", tmp_path / "deep" / "broken"
    own.mkdir()
    broken.mkdir(parents=True)
    (own / "q.jsonl").write_text(json.dumps({"id": "a", "image": "gone.png"}) + "\n", "utf-8")
    (broken / "q.jsonl").write_text(json.dumps({"id": "a", "question": "?", "answer_type": "x"}) + "\n", "utf-8")
    found = list(load_datasets.folders(tmp_path, 2))
    assert found == [broken, own]
    [(name, row)] = load_datasets.measure(own, tmp_path)
    assert (name, row["n"], row["missing_images"], row["first"]["missing"]) == ("own:own", 1, 1, ("gone.png",))
    [(name, row)] = load_datasets.measure(broken, tmp_path)
    assert "1 problem" in row["first"]["error"]


def test_the_simulations_run_small():
    assert 0.5 < statistics_check.cluster_coverage(20, 10, 2, 0)["clustered"] <= 1
    assert set(statistics_check.wilson_coverage(20, 30, 0)) == {"0.5", "0.9"}
    assert 0 <= statistics_check.mcnemar_error(20, 20, 0) <= 0.3
    family = statistics_check.family_error(200, 0)
    assert family["holm"] <= family["uncorrected"]
    assert 0 <= statistics_check.all_pairs_error(5, 0) <= 1
    power = statistics_check.sign_flip_power(20, 40, 0)
    assert power["0.6"] >= power["0.2"]
