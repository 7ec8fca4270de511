"""A folder of films becomes a table: every film a row, in order, whatever happens on the way."""

import csv
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from predictors import screen
from predictors.registry import Service
from predictors.screen import ANSWERED, CannotScreen, Row, Table, columns, films, main, rows, screened
from predictors.spec import ModelSpec
from tests.running import ROOT

MODEL = "pneumonia"


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    folder = ROOT / "weights" / MODEL
    if not (folder / "spec.json").is_file():
        pytest.skip("weights/ is not here, and these tests ask the shipped models")
    return ModelSpec.read(folder)


@pytest.fixture
def tree(tmp_path: Path, drawn: dict[str, Path]) -> Path:
    """A folder as hospitals export them: depths, strange names, things that are no film."""
    folder = tmp_path / "films"
    (folder / "b" / "deep").mkdir(parents=True)
    shutil.copy(drawn["chest"], folder / "b" / "deep" / '1, the "first"\n.png')
    shutil.copy(drawn["chest"], folder / "a.png")
    shutil.copy(drawn["limb"], folder / "b" / "limb.png")
    (folder / "b" / "notes.txt").write_text("no film")
    (folder / "b" / "cut.png").write_bytes(drawn["chest"].read_bytes()[:2000])
    (folder / "DICOMDIR").write_bytes(b"a list of films")
    (folder / ".hidden.png").write_bytes(b"x")
    (folder / "b" / "empty.dcm").touch()
    (folder / "round").symlink_to(folder, target_is_directory=True)
    return folder


IN_ORDER = ["a.png", "b/cut.png", 'b/deep/1, the "first"\\n.png', "b/empty.dcm", "b/limb.png", "b/notes.txt"]
OUTCOMES = [ANSWERED, "corrupt_image", ANSWERED, "empty_file", "out_of_scope", "unsupported_image"]


def read(table: Path) -> list[dict[str, str]]:
    with table.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_every_film_has_a_row_that_says_what_the_network_said(tree: Path, tmp_path: Path, spec: ModelSpec) -> None:
    out = tmp_path / "answers.csv"
    assert main([MODEL, str(tree), "--out", str(out)]) == 0
    found = read(out)
    assert [row["film"] for row in found] == IN_ORDER
    assert [row["outcome"] for row in found] == OUTCOMES
    # Screening gives a film one core, the Space all of them: the printed figures are the same.
    answer = Service.open(screen.WEIGHTS)[MODEL].predict(tree / "a.png")
    assert found[0]["label"] == answer["prediction"]
    for label, value in answer["probabilities"].items():
        assert float(found[0][f"p_{label}"]) == value
    assert float(found[0]["scope_score"]) == answer["meta"]["scope_score"]
    assert found[0] == found[2] | {"film": "a.png"}
    assert found[1]["label"] == found[1]["peak_x"] == ""
    assert {row["sha256"] for row in found} == {spec.weights.sha256}


def test_it_goes_on_where_it_was_stopped(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, out = tmp_path / "whole.csv", tmp_path / "answers.csv"
    main([MODEL, str(tree), "--out", str(whole)])
    out.write_text("".join(whole.read_text().splitlines(keepends=True)[:4])[:-30])  # killed in the third row
    asked: list[str] = []

    def noted(film: Path, name: str, *more: Any) -> Row:
        asked.append(name)
        return screened(film, name, *more)

    monkeypatch.setattr(screen, "screened", noted)
    assert main([MODEL, str(tree), "--out", str(out), "--workers", "1"]) == 0
    assert asked == IN_ORDER[2:]
    assert out.read_text() == whole.read_text()
    asked.clear()
    main([MODEL, str(tree), "--out", str(out)])
    assert asked == []


def test_ctrl_c_keeps_the_rows_that_are_there(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "answers.csv"

    def stopped(*_: Any) -> Iterator[Row]:
        yield screened(tree / "a.png", "a.png", MODEL)
        raise KeyboardInterrupt

    monkeypatch.setattr(screen, "rows", stopped)
    assert main([MODEL, str(tree), "--out", str(out)]) == 130
    assert [row["film"] for row in read(out)] == ["a.png"]
    assert "the same command goes on" in capsys.readouterr().err


def test_no_more_films_are_taken_up_than_there_are_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    lock, at_once, most = threading.Lock(), 0, 0
    taken = 0

    def slow(film: Path, name: str, model: str, weights: Path) -> Row:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        threading.Event().wait(0.002)
        with lock:
            at_once -= 1
        return {"film": name}

    def endless() -> Iterator[tuple[str, Path]]:
        nonlocal taken
        for number in range(200):
            taken += 1
            yield str(number), Path()

    monkeypatch.setattr(screen, "screened", slow)
    for number, row in enumerate(rows(endless(), MODEL, workers=3)):
        assert row["film"] == str(number)
        assert taken <= number + 2 * 3
    assert number == 199
    assert most == 3


def test_a_film_that_breaks_the_network_or_goes_away_has_a_row(
    tree: Path, monkeypatch: pytest.MonkeyPatch, spec: ModelSpec
) -> None:
    assert screened(tree / "gone.png", "gone.png", MODEL)["outcome"] == "missing_file"

    def broken(*_: Any) -> None:
        raise RuntimeError("secret.dcm")

    monkeypatch.setattr(screen._predictor(MODEL, screen.WEIGHTS), "examine", broken)
    row = screened(tree / "a.png", "a.png", MODEL)
    assert row["outcome"] == "internal_error"
    assert list(row) == list(columns(spec))


def test_a_table_of_something_else_is_not_written_to(tmp_path: Path, spec: ModelSpec) -> None:
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(CannotScreen, match="not one of this model's"):
        Table(other, spec)
    assert other.read_text() == "a,b\n1,2\n"
    old = tmp_path / "old.csv"
    old.write_text(",".join(columns(spec)) + "\nfilm.png" + "," * (len(columns(spec)) - 1) + "\n")
    with pytest.raises(CannotScreen, match="other weights"):
        Table(old, spec)


def test_parquet_holds_the_same_with_types(tree: Path, tmp_path: Path, spec: ModelSpec) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "answers.parquet"
    assert main([MODEL, str(tree), "--out", str(out)]) == 0
    table = parquet.read_table(out)
    assert table.column_names == list(columns(spec))
    assert table["film"].to_pylist() == IN_ORDER
    assert table["outcome"].to_pylist() == OUTCOMES
    assert [str(table.schema.field(name).type) for name in ("p_Normal", "in_scope", "width")] == [
        "double",
        "bool",
        "int32",
    ]
    assert table["label"].to_pylist()[1] is None
    assert sorted(path.name for path in tmp_path.glob("answers*")) == ["answers.parquet"]


def test_a_pattern_or_one_file_names_films_too(tree: Path) -> None:
    everywhere = [name for name, _ in films(str(tree / "**" / "*.png"))]
    assert everywhere == [name for name in IN_ORDER if name.endswith(".png")]
    assert [name for name, _ in films(str(tree / "b" / "*.png"))] == ["cut.png", "limb.png"]
    assert [name for name, _ in films(str(tree / "a.png"))] == ["a.png"]


def test_a_name_that_is_no_text_has_a_row_of_its_own(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"r\xf6ntgen.png")).touch()
    (tmp_path / "röntgen.png").touch()
    assert [name for name, _ in films(str(tmp_path))] == ["röntgen.png", "r\\xf6ntgen.png"]


@pytest.mark.parametrize(
    ("model", "where", "out", "sentence"),
    [
        ("pneumonia", "nothing/here/*.png", "answers.csv", "There is no film at that place"),
        ("pneumonia", ".", "answers.xlsx", "ends in .csv or .parquet"),
        ("lungs", ".", "answers.csv", "There is no such model"),
    ],
)
def test_what_cannot_begin_says_why_in_one_sentence(
    model: str, where: str, out: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], spec: ModelSpec
) -> None:
    assert main([model, where, "--out", str(tmp_path / out)]) == 1
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / out).exists()
