import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from predictors.spec import InputSpec
from tests.training.conftest import draw, write_manifest
from training import collections
from training.collections import Example, load, load_scope, split
from training.evaluate import examples_of
from training.films import MASK_STRIDE, masks_of
from training.recipes import RECIPES


def row(file: str, label: str, group: str, **more: Any) -> dict[str, Any]:
    return {"file": file, "label": label, "group": group, "source": "", "boxes": "", "flag": "", **more}


# The manifest


def test_a_manifest_becomes_examples(tmp_path: Path) -> None:
    draw(tmp_path / "films/a.jpg", True, 0)
    draw(tmp_path / "films/b.jpg", False, 1)
    write_manifest(
        tmp_path,
        [
            row("films/a.jpg", "fracture", "g1", source="fracatlas", boxes="[[0.1, 0.2, 0.3, 0.4]]", flag="unreadable"),
            row("films/b.jpg", "normal", "g2"),
        ],
    )
    first, second = load(tmp_path, "bone_fracture")
    assert first == Example(
        path=tmp_path / "films/a.jpg",
        label="fracture",
        group="g1",
        source="fracatlas",
        boxes=((0.1, 0.2, 0.3, 0.4),),
        facts={"flag": "unreadable"},
    )
    assert (second.label, second.group, second.source, second.boxes) == ("normal", "g2", "", ())
    assert first.path.is_file()


def test_a_manifest_without_boxes_or_source_is_read(tmp_path: Path) -> None:
    write_manifest(tmp_path, [{"file": "a.jpg", "scope": "out", "group": "g", "kind": "photo"}])
    (only,) = load(tmp_path, "scope")
    assert (only.label, only.source, only.boxes, only.facts["kind"]) == ("out", "", (), "photo")


def test_a_collection_is_found_inside_a_folder_and_as_the_folder_itself(tmp_path: Path) -> None:
    write_manifest(tmp_path / "pneumonia", [row("a.jpg", "normal", "g")])
    write_manifest(tmp_path / "breast_cancer", [row("b.jpg", "benign", "g")])
    inside, itself = load(tmp_path, "pneumonia"), load(tmp_path / "pneumonia", "pneumonia")
    assert inside == itself
    assert inside[0].path == tmp_path / "pneumonia" / "a.jpg"
    assert load(tmp_path, "breast_cancer")[0].label == "benign"


@pytest.mark.parametrize("content", ["", "images", "train/OTHER"])
def test_an_unknown_layout_is_not_found(tmp_path: Path, content: str) -> None:
    (tmp_path / content).mkdir(parents=True, exist_ok=True)
    with pytest.raises(FileNotFoundError):
        load(tmp_path, "pneumonia")


def test_a_folder_that_does_not_exist_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nowhere", "pneumonia")


def test_recipes_keep_out_what_a_flag_says_is_not_its_label(tmp_path: Path) -> None:
    flags = ("", "not_limb", "wrong_class", "low_quality")
    rows = [row(f"{flag}.jpg", "fisura", flag, flag=flag) for flag in flags]
    write_manifest(tmp_path, [*rows, row("u.jpg", "untyped", "u")])
    assert [e.facts["flag"] for e in examples_of(RECIPES["fracture_type"], tmp_path)] == ["", "low_quality"]


# As published


@pytest.fixture
def chest_xray(tmp_path: Path) -> Path:
    root = tmp_path / "archive" / "chest_xray"
    films = [
        "train/PNEUMONIA/person12_bacteria_3.jpeg",
        "train/PNEUMONIA/person12_virus_9.jpeg",
        "train/PNEUMONIA/person120_virus_1.jpeg",
        "val/PNEUMONIA/person1946_bacteria_4874.jpeg",
        "train/NORMAL/IM-0115-0001.jpeg",
        "train/NORMAL/IM-0115-0002.jpeg",
        "train/NORMAL/NORMAL2-IM-0115-0001.jpeg",
        "train/NORMAL/NORMAL2-IM-0115-0002.jpeg",
        "train/NORMAL/another.jpeg",
        "test/NORMAL/IM-0001-0001.jpeg",
        "test/PNEUMONIA/person1_virus_6.jpeg",
    ]
    for name in films:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_kaggles_tree_is_grouped_by_patient(chest_xray: Path) -> None:
    group = {e.path.name: e.group for e in load(chest_xray, "pneumonia")}
    assert group["person12_bacteria_3.jpeg"] == group["person12_virus_9.jpeg"]
    assert group["IM-0115-0001.jpeg"] == group["IM-0115-0002.jpeg"]
    assert group["NORMAL2-IM-0115-0001.jpeg"] == group["NORMAL2-IM-0115-0002.jpeg"]
    # A second series with numbers of its own: NORMAL2-IM-0115 is another child than IM-0115.
    others = ["person12_virus_9", "person120_virus_1", "IM-0115-0001", "NORMAL2-IM-0115-0001", "another"]
    assert len({group[f"{name}.jpeg"] for name in others}) == len(others)


def test_kaggles_tree_gives_labels_and_subtypes_and_leaves_the_test_split_out(chest_xray: Path) -> None:
    examples = load(chest_xray, "pneumonia")
    assert Counter(e.label for e in examples) == {"normal": 5, "pneumonia": 4}
    assert not any("test" in e.path.parts for e in examples)
    assert {e.source for e in examples} == {"kermany"}
    subtypes = {e.path.name: e.facts["subtype"] for e in examples}
    assert subtypes["person12_bacteria_3.jpeg"] == "bacteria"
    assert subtypes["person12_virus_9.jpeg"] == "virus"
    assert subtypes["IM-0115-0001.jpeg"] == "normal"


def test_kaggles_test_split_is_there_when_asked_for(chest_xray: Path) -> None:
    test = collections.from_chest_xray(chest_xray, ("test",))
    assert [(e.label, e.path.stem) for e in test] == [("normal", "IM-0001-0001"), ("pneumonia", "person1_virus_6")]


def test_kaggles_tree_is_found_one_folder_down(chest_xray: Path) -> None:
    assert load(chest_xray.parent, "pneumonia") == load(chest_xray, "pneumonia")


@pytest.fixture
def fracatlas(tmp_path: Path) -> Path:
    root = tmp_path / "FracAtlas"
    draw(root / "images/Fractured/IMG1.jpg", True, 0, width=200, height=400)
    draw(root / "images/Non_fractured/IMG2.jpg", False, 1)
    annotations = root / "Annotations/COCO JSON/COCO_fracture_masks.json"
    annotations.parent.mkdir(parents=True)
    coco = {
        "images": [{"id": 7, "file_name": "IMG1.jpg", "width": 200, "height": 400}],
        "annotations": [{"image_id": 7, "bbox": [50, 100, 100, 40]}, {"image_id": 7, "bbox": [0, 0, 20, 20]}],
    }
    annotations.write_text(json.dumps(coco), encoding="utf-8")
    other = root / "Annotations/VGG JSON/VGG_fracture_masks.json"
    other.parent.mkdir()
    other.write_text(json.dumps({"IMG1.jpg": {"regions": []}}), encoding="utf-8")
    return root


def test_fracatlas_boxes_become_fractions(fracatlas: Path) -> None:
    fractured, normal = load(fracatlas, "bone_fracture")
    assert (fractured.label, fractured.group, fractured.source) == ("fracture", "IMG1", "fracatlas")
    assert fractured.boxes == ((0.25, 0.25, 0.5, 0.1), (0.0, 0.0, 0.1, 0.05))
    assert (normal.label, normal.group, normal.boxes) == ("normal", "IMG2", ())


def test_boxes_become_a_mask_over_the_padded_square(fracatlas: Path) -> None:
    spec = InputSpec(224, "pad")
    fractured, normal = masks_of(load(fracatlas, "bone_fracture"), spec)
    # 200 x 400 in a square of 224 is 112 x 224 from column 56 on; the first box is 84..140 x 56..78.4 of it.
    rows, columns = slice(56 // MASK_STRIDE, 80 // MASK_STRIDE), slice(80 // MASK_STRIDE, 144 // MASK_STRIDE)
    assert fractured.shape == (224 // MASK_STRIDE, 224 // MASK_STRIDE)
    assert fractured[rows, columns].all()
    second = fractured[0:2, 7:9]
    assert second.all()
    assert fractured.sum() == fractured[rows, columns].size + second.size
    assert not normal.any()


def test_of_two_published_trees_in_a_folder_the_one_asked_for_is_read(chest_xray: Path, fracatlas: Path) -> None:
    chest_xray.rename(fracatlas.parent / "chest_xray")
    assert {e.source for e in load(fracatlas.parent, "pneumonia")} == {"kermany"}
    assert {e.source for e in load(fracatlas.parent, "bone_fracture")} == {"fracatlas"}


# The split


def made_up(groups: int = 60) -> list[Example]:
    """Groups of one to four films, two sources, one positive in three."""
    return [
        Example(Path(f"{g}-{i}.jpg"), "sick" if g % 3 == 0 else "well", f"g{g}", "a" if g % 2 else "b")
        for g in range(groups)
        for i in range(1 + g % 4)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_a_split_cuts_no_group_and_loses_no_film(seed: int) -> None:
    examples = made_up()
    train, val = split(examples, seed)
    assert not {e.group for e in train} & {e.group for e in val}
    assert sorted(str(e.path) for e in train + val) == sorted(str(e.path) for e in examples)
    assert 0.1 < len(val) / len(examples) < 0.3


@pytest.mark.parametrize("seed", range(5))
def test_a_split_keeps_every_label_of_every_source_on_both_sides(seed: int) -> None:
    kinds = {(e.source, e.label) for e in made_up()}
    for part in split(made_up(), seed):
        assert {(e.source, e.label) for e in part} == kinds


def test_a_split_is_the_same_for_a_seed_and_another_for_another() -> None:
    assert split(made_up(), 3) == split(made_up(), 3)
    assert len({tuple(str(e.path) for e in split(made_up(), seed)[1]) for seed in range(5)}) > 1


@pytest.mark.parametrize("recipe", [r for r in RECIPES.values() if r.teacher], ids=lambda r: r.name)
def test_a_teacher_never_saw_a_validation_film_of_its_pupil(recipe: Any) -> None:
    teacher = RECIPES[recipe.teacher]
    assert (teacher.seed, teacher.collection) == (recipe.seed, recipe.collection)
    assert all(teacher.keep(e) == recipe.keep(e) for e in made_up())


# The scope guard's films


@pytest.fixture
def all_collections(tmp_path: Path) -> Path:
    write_manifest(
        tmp_path / "scope",
        [
            {"file": "cat.jpg", "scope": "out", "kind": "photo", "group": "c", "source": "public"},
            {"file": "adult.jpg", "scope": "chest", "kind": "chest_adult", "group": "d", "source": "rsna"},
        ],
    )
    for collection, label in (("pneumonia", "normal"), ("bone_fracture", "fracture"), ("breast_cancer", "benign")):
        write_manifest(tmp_path / collection, [row(f"{i}.jpg", label, f"g{i}") for i in range(6)])
    flags = ("", "not_limb", "not_radiograph", "multi_panel", "unreadable", "wrong_class")
    write_manifest(tmp_path / "fracture_type", [row(f"{i}.jpg", "fisura", "g", flag=f) for i, f in enumerate(flags)])
    return tmp_path


def test_the_scope_guard_learns_from_every_collection(all_collections: Path) -> None:
    examples = load_scope(all_collections)
    assert {(e.path.parent.name, e.label) for e in examples if not e.inverted} == {
        ("scope", "out"),
        ("scope", "chest"),
        ("pneumonia", "chest"),
        ("bone_fracture", "limb"),
        ("fracture_type", "limb"),
        ("breast_cancer", "mammogram"),
    }
    assert {e.label for e in examples} == set(RECIPES["scope"].labels)
    assert len({e.group for e in examples if e.group.endswith("/g0")}) == 3  # the same name in three collections


def test_the_scope_guard_learns_negatives_of_films_and_of_what_is_none(all_collections: Path) -> None:
    examples = load_scope(all_collections)
    files = {(e.path, e.inverted): e for e in examples}
    assert len(files) == len(examples)
    negatives = [e for e in examples if e.inverted]
    assert len(negatives) == len(examples) // 3
    for negative in negatives:
        upright = files[negative.path, False]
        assert negative.group == upright.group
        assert negative.label == ("out" if upright.label == "out" else f"{upright.label} inverted")
    assert {e.label for e in negatives} >= {"out", "chest inverted", "limb inverted"}


def test_the_scope_guard_leaves_out_what_is_no_clear_example(all_collections: Path) -> None:
    flags = {e.facts.get("kind"): 0 for e in load_scope(all_collections)}
    assert "fracture_type" in flags
    kept = {e.path.name for e in load_scope(all_collections) if e.path.parent.name == "fracture_type"}
    assert sorted(kept) == ["0.jpg", "5.jpg"]


def test_the_scope_guard_takes_at_most_so_many_of_a_collection_by_seed(all_collections: Path) -> None:
    def chosen(seed: int) -> list[str]:
        films = [e for e in load_scope(all_collections, 3, seed) if not e.inverted]
        return [e.path.name for e in films if e.path.parent.name == "pneumonia"]

    assert len(chosen(0)) == len(set(chosen(0))) == 3
    assert chosen(0) == chosen(0)
    assert len({tuple(chosen(seed)) for seed in range(5)}) > 1


# The real films


@pytest.mark.filterwarnings("ignore:The least populated class")  # of a source that holds three films of a label
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda r: r.name)
def test_the_real_films_have_every_label_and_split_by_group(recipe: Any) -> None:
    folder = os.environ.get("SECOND_LOOK_FILMS")
    if not folder:
        pytest.skip("SECOND_LOOK_FILMS is not set: the folder of the five collections")
    examples = examples_of(recipe, Path(folder))
    train, val = split(examples, recipe.seed)
    assert len(train) + len(val) == len(examples)
    assert not {e.group for e in train} & {e.group for e in val}
    for part in (train, val):
        counts = Counter(recipe.relabel.get(e.label, e.label) for e in part)
        assert set(counts) == set(recipe.labels)
        assert min(counts.values()) > 0
    assert all(e.path.is_file() for e in examples[:: max(1, len(examples) // 50)])
