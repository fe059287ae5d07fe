"""Every benchmark form, from small files written here by hand: what is read, counted, missing, refused."""

import base64
import csv
import gzip
import json
import pickle

import pytest

from eval.datasets import DatasetError
from eval.items import LoadOptions, detect_formats, load_items
from eval.items.formats import FOLDER_FORMATS, FORMATS
from rag.errors import MissingExtra, QueryError

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def write(path, content):
    """JSON, JSON lines or bytes, by suffix and type."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in content), "utf-8")
    elif path.suffix == ".pkl":
        path.write_bytes(pickle.dumps(content))
    elif isinstance(content, str):
        path.write_text(content, "utf-8")
    else:
        path.write_text(json.dumps(content), "utf-8")
    return path


def load_one(folder, form, **options):
    """Load a folder that must hold exactly this form, without problems."""
    assert list(detect_formats(folder)) == [form]
    found = load_items(folder, LoadOptions(**options))
    assert (found.format, found.problems) == (form, ())
    return found


def test_vqa_rad(tmp_path):
    row = {
        "qid": 7, "phrase_type": "test_freeform", "qid_linked_id": "03f", "image_case_url": "case/1",
        "image_name": "scan1.jpg", "image_organ": "CHEST ", "question": "Is there a nodule?",
        "question_type": "PRES, ABN", "answer": "Yes", "answer_type": "CLOSED ",
    }  # fmt: skip
    count = {**row, "qid": 8, "phrase_type": "para", "answer": 3, "answer_type": "OPEN", "question": "How many?"}
    side = {**row, "qid": 9, "phrase_type": "freeform", "answer": "left", "image_name": "scan2.jpg"}
    write(tmp_path / "VQA_RAD Dataset Public.json", [row, count, side])
    write(tmp_path / "VQA_RAD Image Folder" / "scan1.jpg", PNG)
    found = load_one(tmp_path, "vqa_rad")
    first, second, third = found.items
    assert (first.split, first.answer_type, first.answers) == ("test", "yesno", ("Yes",))
    assert (second.split, second.answer_type, second.answers) == ("train", "open", ("3",))
    assert (third.answer_type, third.images[0].missing) == ("closed", True)
    assert first.groups == {
        "linked": "03f", "phrase_type": "test_freeform", "question_type": "ABN,PRES", "organ": "CHEST",
    }  # fmt: skip
    assert first.cluster == "study:case/1"
    assert found.missing == ("scan2.jpg",)
    assert len(found.complete) == 2
    assert found.warnings == ("split 'test' has 1 items, the published benchmark 451",)


def test_slake_keeps_one_language(tmp_path):
    row = {
        "qid": 1, "img_id": 5, "img_name": "xmlab5/source.jpg", "question": "Which organ?", "answer": "Liver",
        "q_lang": "en", "location": "Abdomen", "modality": "CT", "answer_type": "OPEN", "base_type": "kvqa",
        "content_type": "KG", "triple": ["vhead", "function", "_"],
    }  # fmt: skip
    write(tmp_path / "validate.json", [row, {**row, "qid": 2, "q_lang": "zh"}])
    write(tmp_path / "imgs" / "xmlab5" / "source.png", PNG)  # another suffix than the file says
    [item] = load_one(tmp_path, "slake").items
    assert (item.id, item.split, item.study) == ("1", "val", "xmlab5")
    assert item.groups["triple"] == "vhead#function#_"
    assert item.images[0].path.name == "source.png"
    assert len(load_one(tmp_path, "slake", language="").items) == 2


def test_path_vqa_reads_pickles_as_data_only(tmp_path):
    rows = [{"image": "train_01", "question": "is it benign?", "answer": "yes"}]
    write(tmp_path / "qas" / "train" / "train_qa.pkl", rows)
    write(tmp_path / "images" / "train" / "train_01.jpg", PNG)
    [item] = load_one(tmp_path, "path_vqa").items
    assert (item.id, item.split, item.answer_type, item.complete) == ("train-0", "train", "yesno", True)


class Evil:
    def __reduce__(self):
        return print, ("run",)


def test_a_pickle_with_code_is_refused(tmp_path, capsys):
    file = write(tmp_path / "test_qa.pkl", [Evil()])
    assert detect_formats(tmp_path) == {}
    with pytest.raises(QueryError, match="holds no benchmark"):
        load_items(file)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("key", ["conversations", "conversatons"])
def test_llava_med_form(tmp_path, key):
    turns = [{"from": "human", "value": "Is it normal?\n<image>"}, {"from": "gpt", "value": "No"}]
    write(tmp_path / "test.json", [{"id": 4, "image": "a.jpg", "answer_type": "CLOSED", key: turns}])
    [item] = load_one(tmp_path, "llava_med").items
    assert (item.question, item.answers, item.answer_type) == ("Is it normal?", ("No",), "yesno")


def test_r2gen_reports_by_split(tmp_path):
    one = {"id": "CXR12_IM-34", "report": "Clear lungs.", "image_path": ["CXR12_IM-34/0.png", "CXR12_IM-34/1.png"],
           "split": "train"}  # fmt: skip
    two = {"id": "ab", "report": "Effusion.", "image_path": ["b.jpg"], "split": "test", "subject_id": 9, "study_id": 5}
    write(tmp_path / "annotation.json", {"train": [one], "test": [two]})
    write(tmp_path / "images" / "CXR12_IM-34" / "0.png", PNG)
    found = load_one(tmp_path, "r2gen")
    first, second = found.items
    assert (first.patient, first.answer_type, first.report) == ("CXR12", "report", "Clear lungs.")
    assert (second.patient, second.study, second.split) == ("9", "5", "test")
    assert found.missing == ("CXR12_IM-34/1.png", "b.jpg")


def test_medevalkit_reports(tmp_path):
    write(tmp_path / "test.json", [{"image": ["CXR1_1.png"], "findings": "Clear.", "impression": ""}])
    [item] = load_one(tmp_path, "medevalkit_reports").items
    assert (item.report, item.patient) == ("FINDINGS: Clear.", "CXR1")


def test_mimic_cxr_as_released(tmp_path):
    def table(name, rows):
        with gzip.open(tmp_path / f"mimic-cxr-2.0.0-{name}.csv.gz", "wt", newline="") as stream:
            writer = csv.DictWriter(stream, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)

    key = {"subject_id": "10000001", "study_id": "50000001"}
    table("split", [{"dicom_id": name, **key, "split": "test"} for name in ("d1", "d2")])
    table("metadata", [{"dicom_id": "d1", "ViewPosition": "PA"}, {"dicom_id": "d2", "ViewPosition": "LATERAL"}])
    table("chexpert", [{**key, "Edema": "1.0", "Pneumonia": "-1.0", "Fracture": ""}])
    folder = tmp_path / "files" / "p10" / "p10000001"
    write(folder / "s50000001" / "d1.jpg", PNG)
    write(folder / "s50000001.txt", "INDICATION: Cough.\n\nFINDINGS: Mild edema.\n\nIMPRESSION: Edema.")
    found = load_one(tmp_path, "mimic_cxr")
    [item] = found.items
    assert item.report == "Mild edema.\nEdema."
    assert item.groups == {"Edema": "present", "Pneumonia": "uncertain", "views": "LATERAL,PA"}
    assert (item.patient, item.study, item.split) == ("p10000001", "s50000001", "test")
    assert found.missing == ("files/p10/p10000001/s50000001/d2.jpg",)
    assert len(found.files) == 3


def test_mimic_studies_know_the_one_before(tmp_path):
    split = "dicom_id,study_id,subject_id,split\nd1,2,10,test\nd2,1,10,test\nd3,3,11,test\n"
    dates = "dicom_id,StudyDate,StudyTime\nd1,21800102,101.5\nd2,21800102,93000.0\nd3,21800101,1\n"
    write(tmp_path / "mimic-cxr-2.0.0-split.csv", split)
    write(tmp_path / "mimic-cxr-2.0.0-metadata.csv", dates)
    for subject, study in (("10", "1"), ("10", "2"), ("11", "3")):
        write(tmp_path / "files" / f"p{subject}" / f"p{subject}" / f"s{study}.txt", f"FINDINGS: Study {study}.")
    by_id = {item.id: item for item in load_items(tmp_path).items}
    assert by_id["s1"].prior_report == "Study 2."  # the same day, but later
    assert by_id["s1"].prior_images[0].name == "files/p10/p10/s2/d1.jpg"
    assert (by_id["s2"].prior_report, by_id["s3"].prior_images) == (None, ())


def test_mimic_without_its_report_is_a_problem(tmp_path):
    write(tmp_path / "mimic-cxr-2.0.0-split.csv", "dicom_id,study_id,subject_id,split\nd1,5,10,test\n")
    with pytest.raises(DatasetError, match=r"the report s5\.txt cannot be read"):
        load_items(tmp_path)


def test_mmed_rag(tmp_path):
    row = {"question_id": 1, "question": "Is there edema? <image>", "answer": "Yes.", "image": "CXR1/0.png",
           "report": "Edema."}  # fmt: skip
    none = {**row, "question_id": 2, "answer": "The summary does not provide this information."}
    write(tmp_path / "vqa" / "iuxray_test.jsonl", [row, none])
    write(tmp_path / "report" / "iuxray_test.json", [{"id": "r", "report": "Clear.", "image_path": "CXR1/0.png"}])
    found = load_one(tmp_path, "mmed_rag")
    by_id = {item.id: item for item in found.items}
    assert by_id["iuxray-1"].question == "Is there edema?"
    assert (by_id["iuxray-1"].answer_type, by_id["iuxray-1"].split) == ("yesno", "test")
    assert not by_id["iuxray-2"].answerable
    assert by_id["iuxray-report-r"].answer_type == "report"


def test_mmxu(tmp_path):
    row = {
        "id": 3, "content_type": "worsen", "question": "How did it change?", "options": {"A": "better", "B": "worse"},
        "answer": "B", "cur_image_path": "files/p10/p10000001/s50000002/a.jpg",
        "prior_image_path": ["files/p10/p10000001/s50000001/b.jpg"],
    }  # fmt: skip
    dev = {**row, "cur_image_bboxs": [[1, 2, 3, 4]], "related_region_name": ["left lung"], "prior_report": "Old."}
    write(tmp_path / "MMXU-test.jsonl", [row])
    write(tmp_path / "MMXU-dev.jsonl", [dev])
    found = load_one(tmp_path, "mmxu")
    training, test = found.items
    assert (test.patient, test.study, test.split) == ("p10000001", "s50000002", "test")
    assert (test.answers, len(test.prior_images), test.groups) == (("B",), 1, {"content_type": "worsen"})
    assert training.regions[0].bounds == (1.0, 2.0, 3.0, 4.0)
    assert (training.regions[0].name, training.prior_report) == ("left lung", "Old.")


def test_temmed_bench(tmp_path):
    def entry(number):
        return {
            "image_path": f"patient{number}/now.jpg", "historical_image_path": f"patient{number}/old.jpg",
            "condition_changes_report": f"Change {number}.",
            "VQA_Final": [{"VQA_question": f"Worse {i}?", "VQA_answer": "Yes"} for i in range(2)],
        }  # fmt: skip

    write(tmp_path / "TestSet_VQA_ReportGeneration_Final.json", [entry(0), entry(1)])
    write(tmp_path / "TestSet_SelectedVQA_2000.json", [{"img_id": 1, "question_id": 0}])
    write(tmp_path / "TestSet_ImagePairSelection.json",
          [{"condition_change": "It grew.", "option": {"A": 0, "B": 1}, "right_option": "B"}])  # fmt: skip
    write(tmp_path / "TrainSet_KnowledgeCorpus_Final.json", [entry(5)])
    write(tmp_path / "patient1" / "now.png", PNG)
    found = load_one(tmp_path, "temmed_bench")
    by_id = {item.id: item for item in found.items}
    assert set(by_id) == {"1-0", "0-report", "1-report", "pairs-0"}
    assert (by_id["1-0"].answer_type, by_id["1-0"].patient) == ("yesno", "patient1")
    assert by_id["1-0"].images[0].path.suffix == ".png"
    assert (by_id["pairs-0"].answers, len(by_id["pairs-0"].prior_images)) == (("B",), 2)
    assert [document.text for document in found.corpus] == ["Change 5."]
    assert len(found.files) == 4


def test_gemex(tmp_path):
    row = {"question": "Where?", "type": "location", "reason": "Seen.", "visual_regions": ["right lung"],
           "visual_locations": [[0, 0, 10, 20]], "image_path": "p10/p10000001/x.jpg", "ori_report": "R"}  # fmt: skip
    choices = ["A: left", "B: right", "C: both"]
    write(tmp_path / "test" / "open.jsonl", [{**row, "answer": "In the right lung."}])
    write(tmp_path / "test" / "single.jsonl", [{**row, "answer": "B", "choices": choices}])
    write(tmp_path / "test" / "multi.jsonl", [{**row, "answer": ["A", "C"], "choices": choices}])
    write(tmp_path / "test" / "closed.jsonl", [{**row, "answer": "Yes"}])
    found = load_one(tmp_path, "gemex")
    by_type = {item.answer_type: item for item in found.items}
    assert set(by_type) == {"open", "choice", "multi", "yesno"}
    assert by_type["choice"].options == {"A": "left", "B": "right", "C": "both"}
    assert by_type["multi"].answers == ("A", "C")
    assert (by_type["open"].regions[0].name, by_type["open"].split) == ("right lung", "test")


def test_gmai_mmbench(tmp_path):
    picture = base64.b64encode(PNG).decode()
    lines = [
        "index\timage\tquestion\tA\tB\tC\tanswer\tcategory\tdepartment",
        f"1\t{picture}\tWhat?\tcyst\ttumour\t\tB\tdx\tUrology",
        f"2\t{picture}\tWhat?\tcyst\ttumour\tnan\t\tdx\tUrology",
        "3\t!!\tWhat?\tcyst\ttumour\t\tB\tdx\tUrology",
    ]
    write(tmp_path / "GMAI_test.tsv", "\n".join(lines) + "\n")
    found = load_items(tmp_path, LoadOptions(extract_images=tmp_path / "out"))
    scored, withheld = found.items
    assert (scored.answers, withheld.answers) == (("B",), ())
    assert scored.options == {"A": "cyst", "B": "tumour"}
    assert scored.groups == {"category": "dx", "department": "Urology"}
    assert scored.images[0].path.read_bytes() == PNG
    assert "not base64" in found.problems[0]
    assert load_items(tmp_path).items[0].images[0].embedded
    assert load_items(tmp_path).missing == ()


def test_mediconfusion_is_two_items_per_pair(tmp_path):
    entry = {
        "im_1": "u1", "im_2": "u2", "im_1_local": "a", "im_2_local": "b", "category_1": ["x", "y"], "category_2": ["x"],
        "question": "Which?", "option_A": "one", "option_B": "two", "im_1_correct": "A", "im_2_correct": "B",
    }  # fmt: skip
    write(tmp_path / "dataset.json", {"17": entry})
    write(tmp_path / "images" / "a.jpg", PNG)
    found = load_one(tmp_path, "mediconfusion")
    assert [(item.id, item.pair, item.answers) for item in found.items] == [
        ("17-1", "17", ("A",)), ("17-2", "17", ("B",)),
    ]  # fmt: skip
    assert found.items[0].groups == {"category": "x,y"}
    assert found.missing == ("b.jpg",)


def test_mirage(tmp_path):
    row = {"question": "Which drug?", "options": {"A": "one", "B": "two"}, "answer": "B"}
    write(tmp_path / "benchmark.json", {"medqa": {"0001": row}, "mmlu": {"x-1": row}})
    found = load_one(tmp_path, "mirage")
    assert [(item.id, item.groups["set"]) for item in found.items] == [("medqa-0001", "medqa"), ("mmlu-x-1", "mmlu")]


def test_pubmedqa_in_both_forms(tmp_path):
    row = {"QUESTION": "Does it?", "CONTEXTS": ["One.", "Two."], "YEAR": "2011", "final_decision": "maybe",
           "LONG_ANSWER": "Perhaps."}  # fmt: skip
    write(tmp_path / "a" / "ori_pqal.json", {"111": row, "222": {**row, "final_decision": "yes"}})
    write(tmp_path / "a" / "test_ground_truth.json", {"222": "yes"})
    found = load_one(tmp_path / "a", "pubmedqa")
    assert [(item.id, item.split, item.answers) for item in found.items] == [
        ("111", "train", ("maybe",)), ("222", "test", ("yes",)),
    ]  # fmt: skip
    assert found.items[0].contexts == ("One.", "Two.")
    lines = [{"id": "p", "pmid": "3", "question": "Does it?", "options": {"A": "yes", "B": "no", "C": "maybe"},
              "answer": "B", "contexts": ["One."]}]  # fmt: skip
    write(tmp_path / "b" / "rows.jsonl", lines)
    assert load_one(tmp_path / "b", "pubmedqa").items[0].answers == ("no",)


def test_medqa(tmp_path):
    row = {"question": "Which?", "options": {"A": "one", "B": "two"}, "answer": "two", "answer_idx": "B",
           "meta_info": "step1"}  # fmt: skip
    write(tmp_path / "test.jsonl", [row])
    [item] = load_one(tmp_path, "medqa").items
    assert (item.answers, item.groups, item.split) == (("B",), {"step": "step1"}, "test")


@pytest.mark.parametrize(("places", "letters"), [([1, 4], ["A", "D"]), ([0, 3], ["A", "D"])])
def test_medmcqa_counts_from_one_or_from_zero(tmp_path, places, letters):
    row = {"question": "Which?", "opa": "1", "opb": "2", "opc": "3", "opd": "4", "subject_name": "Anatomy"}
    write(tmp_path / "dev.json", "[]")
    write(tmp_path / "dev.jsonl", [{**row, "id": str(place), "cop": place} for place in places])
    found = load_one(tmp_path, "medmcqa")
    assert [item.answers[0] for item in found.items] == letters
    assert found.items[0].groups == {"subject": "Anatomy"}


def test_bioasq_in_both_forms(tmp_path):
    released = {"questions": [{
        "id": "q1", "body": "What binds?", "type": "list", "exact_answer": [["one", "uno"], ["two"]],
        "ideal_answer": "One and two.", "documents": ["http://x/pubmed/12"], "snippets": [{"text": "It binds one."}],
    }]}  # fmt: skip
    write(tmp_path / "a" / "training.json", released)
    [item] = load_one(tmp_path / "a", "bioasq").items
    assert item.answers == ("one", "uno", "two")
    assert (item.gold[0].unit, item.contexts) == (("document", "12"), ("It binds one.",))
    line = {"id": "q2", "type": "yesno", "question": "Is it?", "exact_answer": "yes", "ideal_answer": ["It is."],
            "gold_pmids": ["7", "7"], "gold_snippets": []}  # fmt: skip
    write(tmp_path / "b" / "rows.jsonl", [line])
    [item] = load_one(tmp_path / "b", "bioasq").items
    assert (item.answer_type, item.answers, len(item.gold)) == ("yesno", ("yes",), 1)


def test_beir(tmp_path):
    write(tmp_path / "corpus.jsonl", [{"_id": "d1", "title": "T", "text": "Text."}, {"_id": "d2", "text": "Other."}])
    write(tmp_path / "queries.jsonl", [{"_id": f"q{i}", "text": f"Query {i}"} for i in range(3)])
    write(tmp_path / "qrels" / "test.tsv", "query-id\tcorpus-id\tscore\nq0\td1\t2\nq0\td2\t0\nq1\td2\t0\nq9\td7\t1\n")
    found = load_one(tmp_path, "collection")
    [item] = found.items
    assert (item.id, item.split, item.answer_type) == ("q0", "test", "retrieval")
    assert [(one.unit, one.grade) for one in item.gold] == [(("document", "d1"), 2.0)]
    assert [document.title for document in found.corpus] == ["T", ""]
    assert found.warnings == (
        "test.tsv judges 1 unknown queries and 1 unknown documents", "1 queries have no judgement",
    )  # fmt: skip


def test_vidore_and_medframeqa_tables(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    image = {"bytes": PNG, "path": None}
    parquet.write_table(pa.Table.from_pylist([
        {"query": "Which page?", "image": image, "image_filename": "p1", "answer": None},
        {"query": None, "image": {"bytes": PNG + b"x", "path": None}, "image_filename": "p2", "answer": None},
    ]), (tmp_path / "vidore").with_suffix(".parquet"))  # fmt: skip
    found = load_one(tmp_path, "vidore_questions")
    assert (len(found.items), len(found.corpus)) == (1, 2)
    assert found.items[0].gold[0].unit == ("document", found.corpus[0].id)
    other = tmp_path / "frames"
    other.mkdir()
    parquet.write_table(pa.Table.from_pylist([
        {"question_id": "f", "question": "What?", "options": ["one", "two"], "correct_answer": "B", "image_1": image,
         "image_2": image, "image_3": None, "organ": "heart"},
    ]), other / "test.parquet")  # fmt: skip
    [item] = load_one(other, "medframeqa").items
    assert (item.groups, item.answers, len(item.images)) == ({"organ": "heart", "frames": "2"}, ("B",), 2)


def test_a_table_without_its_library_is_named(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    write(tmp_path / "test.parquet", b"PAR1")
    with pytest.raises(MissingExtra, match="pyarrow"):
        detect_formats(tmp_path)


def test_the_names_of_the_forms_are_unique():
    names = [one.name for one in (*FOLDER_FORMATS, *FORMATS)]
    assert len(set(names)) == len(names)
    assert names[-1] == "own"


def test_what_temmed_names_but_does_not_hold_is_a_problem(tmp_path):
    entry = {"image_path": "a.jpg", "historical_image_path": "b.jpg", "condition_changes_report": "C.", "VQA_Final": []}
    write(tmp_path / "TestSet_VQA_ReportGeneration_Final.json", [entry])
    write(tmp_path / "TestSet_SelectedVQA_2000.json", [{"img_id": "x", "question_id": 0}, {"question_id": 0}])
    write(tmp_path / "TestSet_ImagePairSelection.json",
          [{"condition_change": "It grew.", "option": {"A": 0, "B": -1}, "right_option": "B"}])  # fmt: skip
    found = load_items(tmp_path)
    assert [item.id for item in found.items] == ["0-report"]
    assert len(found.problems) == 3
    assert "names test item -1, and there are 1" in found.problems[2]
