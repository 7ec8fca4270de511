"""The life cycle: read -> scope -> preprocess -> infer -> calibrate, and every way out of it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from predictors.errors import CorruptImage, EmptyFile, MissingFile, OutOfScope, TooManyFiles, UnknownModel
from predictors.finding import Answer
from predictors.preprocess import network_input
from predictors.registry import Service, models
from predictors.scope import ScopeGuard, Sight
from space.deploy.films import limb
from tests.drawings import dicom, drawn_deep_film, drawn_film, drawn_photo, encoded
from tests.predictors.conftest import WEIGHTS

NAMES = ["bone_fracture", "fracture_detection", "fracture_type", "breast_cancer", "pneumonia"]


def steady(answer: Answer) -> Answer:
    """An answer without the time it took."""
    return {**answer, "meta": {k: v for k, v in answer["meta"].items() if k != "elapsed_ms"}}


def test_the_models_are_found_in_the_contracts_order(service: Service) -> None:
    assert [model.name for model in models()] == NAMES
    assert [predictor.name for predictor in service.predictors] == NAMES


def test_an_unknown_model(service: Service) -> None:
    with pytest.raises(UnknownModel):
        service["spleen"]


@pytest.mark.parametrize("name", NAMES)
def test_bytes_a_path_and_many_threads_give_the_same_answer(open_guard: Service, name: str, tmp_path: Path) -> None:
    predictor = open_guard[name]
    data = encoded(drawn_film(300, 260), "PNG")
    path = tmp_path / "film.png"
    path.write_bytes(data)
    first = steady(predictor.predict(data, "film.png"))
    assert steady(predictor.predict(path, "film.png")) == first
    assert steady(predictor.predict(str(path), "film.png")) == first
    with ThreadPoolExecutor(4) as pool:
        others = [encoded(drawn_film(200 + i, 260), "PNG") for i in range(4)]
        answers = list(pool.map(lambda film: predictor.predict(film, "film.png"), [data, *others] * 3))
    assert [steady(answer) for answer in answers[:: len(others) + 1]] == [first] * 3


@pytest.mark.parametrize("name", NAMES)
def test_16_bits_and_dicom_of_the_same_film_answer_alike(open_guard: Service, name: str) -> None:
    predictor = open_guard[name]
    deep = drawn_deep_film(300, 260)
    as_png, as_dicom = (predictor.examine(data) for data in (encoded(deep, "PNG"), dicom(deep)))
    assert as_png.probabilities == pytest.approx(as_dicom.probabilities, abs=1e-4)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "fracture_type"])
def test_a_colour_photo_is_out_of_scope(service: Service, name: str) -> None:
    with pytest.raises(OutOfScope, match=r"This does not look like .+; send a film of that kind\."):
        service[name].predict(encoded(drawn_photo(300, 260), "PNG"))


def test_fracture_type_answers_a_photo_in_its_own_shape_and_gives_it_no_heat_map(service: Service) -> None:
    photo = encoded(drawn_photo(300, 260), "PNG")
    answer = service["fracture_type"].predict(photo)
    assert (answer["success"], answer["meta"]["in_scope"]) == (0, False)
    with pytest.raises(OutOfScope):
        service["fracture_type"].heatmap(photo)


def test_who_waits_for_one_film_and_who_screens_many_learn_the_same(service: Service, tmp_path: Path) -> None:
    alone, many = service["bone_fracture"], Service.open(WEIGHTS, tmp_path, hint="THROUGHPUT")["bone_fracture"]
    for film in (limb(), 255 - limb()):  # upright, and a negative, whose input is made anew
        answers = [each.predict(encoded(film, "PNG")) for each in (alone, many)]
        assert answers[0]["fracture_probability"] == pytest.approx(answers[1]["fracture_probability"], abs=1e-4)


def test_a_films_input_is_made_while_the_guard_looks(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    made, seen = threading.Event(), []

    def prepare(*args: Any) -> Any:
        batch = network_input(*args)
        made.set()
        return batch

    def look(guard: ScopeGuard, *_: object) -> Sight:
        seen.append(made.wait(10))
        return Sight(1.0, False)

    monkeypatch.setattr("predictors.predictor.network_input", prepare)
    monkeypatch.setattr(ScopeGuard, "look", look)
    service["bone_fracture"].examine(encoded(limb(), "PNG"))
    assert seen == [True]


def test_a_machine_without_a_thread_to_spare_answers_all_the_same(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = encoded(limb(), "PNG")
    before = steady(service["bone_fracture"].predict(film))

    def no_thread(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("predictors.predictor._other_core.submit", no_thread)
    assert steady(service["bone_fracture"].predict(film)) == before


def test_what_goes_wrong_beside_the_guard_is_no_answer(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise ValueError("no input")

    monkeypatch.setattr("predictors.predictor.network_input", fails)
    with pytest.raises(ValueError, match="no input"):
        service["bone_fracture"].examine(encoded(limb(), "PNG"))


def test_a_film_that_is_gone_when_its_turn_comes_is_missing(service: Service, tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match="no longer here"):
        service["pneumonia"].examine(tmp_path / "swept.png")


@pytest.mark.parametrize(
    ("source", "error"), [(None, MissingFile), (b"", EmptyFile), (b"\xff\xd8\xff\xe0", CorruptImage)]
)
def test_bad_input_is_refused_before_the_network(service: Service, source: bytes | None, error: type) -> None:
    with pytest.raises(error):
        service["pneumonia"].predict(source)


def test_a_batch_keeps_its_order_and_survives_a_bad_file(open_guard: Service) -> None:
    film = encoded(drawn_film(300, 260), "PNG")
    batch = open_guard["breast_cancer"].predict_batch([(film, "a.png"), (b"", "b.png"), (film, "c.png")])
    assert (batch["total_images"], batch["successful"], batch["failed"]) == (3, 2, 1)
    assert [row["filename"] for row in batch["results"]] == ["a.png", "b.png", "c.png"]
    assert set(batch["results"][0]) == {"filename", "prediction", "confidence", "probabilities"}
    assert set(batch["results"][1]) == {"filename", "error"}
    assert list(batch["summary"]) == ["malignant", "benign"]
    assert sum(batch["summary"].values()) == 2
    alone = open_guard["breast_cancer"].predict(film)
    assert batch["results"][2]["probabilities"] == alone["probabilities"]


def test_a_batch_of_eleven_is_refused_and_nothing_is_read(service: Service) -> None:
    unread = ("/nowhere/film.png", "film.png")
    with pytest.raises(TooManyFiles):
        service["breast_cancer"].predict_batch([unread] * 11)
    with pytest.raises(MissingFile):
        service["breast_cancer"].predict_batch([])


@pytest.mark.parametrize("name", NAMES)
def test_a_heat_map_comes_with_its_peak(open_guard: Service, name: str) -> None:
    picture, about = open_guard[name].heatmap(encoded(drawn_film(300, 260), "PNG"))
    assert (picture.mode, picture.size) == ("RGB", (300, 260))
    assert set(about) == {"peak", "label", "probability", "meta"}
    assert all(0 <= coordinate <= 1 for coordinate in about["peak"])
    assert about["label"] in open_guard[name].spec.labels


def test_warm_up_loads_every_model(service: Service) -> None:
    service.warm_up()
    assert {predictor.status for predictor in service.predictors} == {"loaded"}
