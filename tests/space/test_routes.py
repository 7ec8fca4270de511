"""The named routes, as ``gradio_client`` and plain HTTP callers see them."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from predictors import errors
from predictors.image import MAX_BYTES
from predictors.registry import models
from tests.drawings import dicom, encoded
from tests.films import limb
from tests.running import ROOT, Space

KIND = {
    "bone_fracture": "limb",
    "fracture_detection": "limb",
    "fracture_type": "limb",
    "breast_cancer": "mammogram",
    "pneumonia": "chest",
    "predict": "limb",
}
META = {
    "model": str,
    "version": str,
    "sha256": str,
    "threshold": float,
    "in_scope": bool,
    "scope_score": float,
    "elapsed_ms": float,
    "disclaimer": str,
}


@pytest.fixture(scope="module")
def client(space: Space) -> Iterator[Client]:
    connected = Client(space.url, verbose=False)
    yield connected
    connected.close()


def ask(client: Client, route: str, film: Path | None) -> Any:
    return client.predict(handle_file(film) if film else None, api_name=f"/{route}")


def types_of(answer: dict[str, Any]) -> dict[str, type]:
    return {key: type(value) for key, value in answer.items()}


def test_the_public_routes_are_these_and_no_others(space: Space) -> None:
    info = httpx.get(f"{space.url}/gradio_api/info").json()
    assert set(info["named_endpoints"]) == {
        "/bone_fracture",
        "/bone_fracture_heatmap",
        "/fracture_detection",
        "/fracture_detection_heatmap",
        "/fracture_type",
        "/fracture_type_heatmap",
        "/breast_cancer",
        "/breast_cancer_heatmap",
        "/breast_cancer_batch",
        "/pneumonia",
        "/pneumonia_heatmap",
        "/predict",
    }
    assert info["unnamed_endpoints"] == {}


def test_every_route_says_what_it_is_and_names_its_argument(space: Space) -> None:
    for name, route in httpx.get(f"{space.url}/gradio_api/info").json()["named_endpoints"].items():
        assert "not a medical device" in route["description"]
        expected = "images" if name.endswith("_batch") else "image"
        assert [parameter["parameter_name"] for parameter in route["parameters"]] == [expected]


@pytest.mark.parametrize("route", ["bone_fracture", "predict"])
def test_bone_fracture(client: Client, drawn: dict[str, Path], route: str) -> None:
    answer = ask(client, route, drawn["limb"])
    assert types_of(answer) == {
        "predicted_label": str,
        "fracture_probability": float,
        "normal_probability": float,
        "meta": dict,
    }
    assert answer["predicted_label"] in ("fracture", "normal")
    assert answer["fracture_probability"] + answer["normal_probability"] == pytest.approx(1, abs=1e-9)


def test_fracture_detection(client: Client, drawn: dict[str, Path]) -> None:
    answer = ask(client, "fracture_detection", drawn["limb"])
    assert types_of(answer) == {"prediction": str, "confidence": float, "probabilities": dict, "meta": dict}
    assert list(answer["probabilities"]) == ["fractured", "not fractured"]
    assert answer["confidence"] == answer["probabilities"][answer["prediction"]]


def test_fracture_type(client: Client, drawn: dict[str, Path]) -> None:
    answer = ask(client, "fracture_type", drawn["limb"])
    decided = "predictedClass" if answer["success"] else "message"
    assert list(answer) == ["success", decided, "confidence", "allProbabilities", "meta"]
    assert [entry["class"] for entry in answer["allProbabilities"]] == ["fisura", "fractura"]
    assert answer["confidence"] == max(entry["probability"] for entry in answer["allProbabilities"])


def test_fracture_type_answers_a_film_of_another_kind_in_its_own_shape(client: Client, drawn: dict[str, Path]) -> None:
    answer = ask(client, "fracture_type", drawn["chest"])
    assert answer["success"] == 0
    assert not answer["meta"]["in_scope"]
    assert answer["message"].startswith("La imagen no corresponde a ninguna")


def test_breast_cancer(client: Client, drawn: dict[str, Path]) -> None:
    answer = ask(client, "breast_cancer", drawn["mammogram"])
    assert set(answer["risk_assessment"]) == {"level", "icon", "color"}
    assert set(answer["image_statistics"]) == {"brightness", "contrast", "mean_intensity", "std_intensity"}
    assert answer["image_info"] == {"filename": "mammogram.png", "size": "480x640", "format": "PNG"}
    assert answer["prediction"] in ("Benign", "Malignant")
    assert sum(answer["probabilities"].values()) == pytest.approx(100, abs=1e-9)
    assert types_of(answer)["disclaimer"] is str


def test_pneumonia(client: Client, drawn: dict[str, Path]) -> None:
    answer = ask(client, "pneumonia", drawn["chest"])
    assert types_of(answer) == {"prediction": str, "confidence": float, "probabilities": dict, "meta": dict}
    assert list(answer["probabilities"]) == ["Normal", "Pneumonia"]


@pytest.mark.parametrize("route", KIND)
def test_meta_holds_all_that_is_ours(client: Client, drawn: dict[str, Path], route: str) -> None:
    assert types_of(ask(client, route, drawn[KIND[route]])["meta"]) == META


@pytest.mark.parametrize("name", [model.name for model in models()])
def test_heatmap_is_a_png_and_a_peak(client: Client, drawn: dict[str, Path], name: str) -> None:
    picture, about = ask(client, f"{name}_heatmap", drawn[KIND[name]])
    assert set(about) == {"peak", "label", "probability", "meta"}
    assert all(0 <= fraction <= 1 for fraction in about["peak"])
    with Image.open(picture) as image, Image.open(drawn[KIND[name]]) as film:
        assert image.format == "PNG"
        assert image.size == film.size


def test_batch_answers_in_the_order_sent_and_one_bad_file_fails_alone(
    client: Client, drawn: dict[str, Path], tmp_path: Path
) -> None:
    bad = tmp_path / "notes.txt"
    bad.write_text("not a film")
    films = [drawn["mammogram"], bad, drawn["chest"], drawn["mammogram"]]
    answer = client.predict([handle_file(film) for film in films], api_name="/breast_cancer_batch")
    assert (answer["total_images"], answer["successful"], answer["failed"]) == (4, 2, 2)
    assert list(answer["summary"]) == ["malignant", "benign"]
    first, text, chest, last = answer["results"]
    assert first == last
    assert set(first) == {"filename", "prediction", "confidence", "probabilities"}
    assert text == {"filename": "notes.txt", "error": errors.UnsupportedImage.sentence}
    assert chest["error"].startswith("This does not look like a mammogram")


# Refusals


def refusal(client: Client, route: str, film: Path | None) -> str:
    with pytest.raises(AppError) as caught:
        ask(client, route, film)
    return caught.value.message


@pytest.mark.parametrize("route", ["bone_fracture", "breast_cancer_batch", "pneumonia_heatmap"])
def test_no_file(client: Client, route: str) -> None:
    assert refusal(client, route, None) == errors.MissingFile.sentence


def test_a_film_of_another_kind(client: Client, drawn: dict[str, Path]) -> None:
    sentence = "This does not look like a chest radiograph; send a film of that kind."
    assert refusal(client, "pneumonia", drawn["limb"]) == sentence
    assert refusal(client, "pneumonia_heatmap", drawn["limb"]) == sentence


def test_too_many_files(client: Client, drawn: dict[str, Path]) -> None:
    with pytest.raises(AppError) as caught:
        client.predict([handle_file(drawn["mammogram"])] * 11, api_name="/breast_cancer_batch")
    assert caught.value.message == errors.TooManyFiles.sentence


def test_unreadable_files(client: Client, tmp_path: Path) -> None:
    film = encoded(limb(), "PNG")
    for content, error in (
        (b"", errors.EmptyFile),
        (b"a letter", errors.UnsupportedImage),
        (film[: len(film) // 2], errors.CorruptImage),
        (bytes(MAX_BYTES + 1), errors.FileTooLarge),
    ):
        path = tmp_path / "file"
        path.write_bytes(content)
        assert refusal(client, "bone_fracture", path) == error.sentence


# The same film in other clothes


def test_a_film_gives_the_same_answer_at_16_bits_and_as_dicom(client: Client, tmp_path: Path) -> None:
    film = limb().astype(np.uint16)
    deep = ((film - film.min()).astype(np.float64) / np.ptp(film) * 65535).round().astype(np.uint16)
    files = {"deep.png": encoded(deep, "PNG"), "film.dcm": dicom(deep), "noextension": dicom(deep)}
    answers = []
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        answer = ask(client, "bone_fracture", tmp_path / name)
        answer["meta"].pop("elapsed_ms")
        answers.append(answer)
    assert answers[0] == answers[1] == answers[2]


# Plain HTTP


def upload(space: Space, film: Path) -> str:
    with film.open("rb") as stream:
        reply = httpx.post(f"{space.url}/gradio_api/upload", files={"files": stream})
    return str(reply.raise_for_status().json()[0])


def call(space: Space, route: str, data: list[Any]) -> tuple[str, Any]:
    """POST the arguments, then read the event stream: what curl users do. The last event and its data."""
    posted = httpx.post(f"{space.url}/gradio_api/call/{route}", json={"data": data}).raise_for_status()
    stream = httpx.get(f"{space.url}/gradio_api/call/{route}/{posted.json()['event_id']}", timeout=60).text
    event, content = stream.strip().split("\n\n")[-1].split("\n", 1)
    return event.removeprefix("event: "), json.loads(content.removeprefix("data: "))


def file_data(path: str) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def test_plain_http_gives_the_same_answer(space: Space, client: Client, drawn: dict[str, Path]) -> None:
    event, data = call(space, "predict", [file_data(upload(space, drawn["limb"]))])
    assert event == "complete"
    same = ask(client, "predict", drawn["limb"])
    for answer in (data[0], same):
        answer["meta"].pop("elapsed_ms")
    assert data[0] == same


def test_an_upload_can_be_asked_about_more_than_once(space: Space, drawn: dict[str, Path]) -> None:
    path = upload(space, drawn["limb"])
    for route in ("bone_fracture", "fracture_detection", "bone_fracture_heatmap"):
        assert call(space, route, [file_data(path)])[0] == "complete"


@pytest.mark.parametrize("wrap", [file_data, lambda path: {"path": path}])
def test_only_uploads_are_read(space: Space, drawn: dict[str, Path], wrap: Callable[[str], Any]) -> None:
    assert call(space, "predict", [wrap(str(drawn["limb"]))])[0] == "error"


def test_nothing_is_served_but_what_gradio_made(space: Space, drawn: dict[str, Path]) -> None:
    for path in (drawn["limb"], ROOT / "app.py", Path("/etc/passwd")):
        assert httpx.get(f"{space.url}/gradio_api/file={path}").status_code in (403, 404)


def test_the_log_names_no_film(space: Space, client: Client, tmp_path: Path) -> None:
    film = tmp_path / "Doe^John.png"
    film.write_bytes(b"no film")
    refusal(client, "pneumonia", film)
    assert call(space, "pneumonia", [file_data(str(film))])[0] == "error"
    assert httpx.get(f"{space.url}/gradio_api/file={film}").status_code == 404
    said = space.log.read_text()
    assert '"error": "InvalidPathError"' in said
    assert "Doe" not in said
    assert "Traceback" not in said


def test_callers_cannot_skip_the_queue(space: Space, drawn: dict[str, Path]) -> None:
    data = [file_data(upload(space, drawn["limb"]))]
    assert httpx.post(f"{space.url}/gradio_api/run/predict", json={"data": data}).status_code == 404


def test_callers_beside_each_other_get_the_answers_that_they_would_get_alone(
    space: Space, drawn: dict[str, Path]
) -> None:
    def answer(route: str) -> Any:
        event, data = call(space, route, [file_data(upload(space, drawn[KIND[route]]))])
        assert event == "complete"
        data[0]["meta"].pop("elapsed_ms")
        return data[0]

    routes = list(KIND)
    alone = [answer(route) for route in routes]
    with ThreadPoolExecutor(12) as callers:
        beside = list(callers.map(answer, routes * 3))
    assert beside == alone * 3


# Real films


@pytest.mark.parametrize(
    ("route", "pattern"),
    [
        ("bone_fracture", "bone_fracture/fracture/*.jpg"),
        ("fracture_detection", "bone_fracture/fracture/*.jpg"),
        ("fracture_type", "fracture_type/fractura/*.jpg"),
        ("breast_cancer", "breast_cancer/malignant/*.jpg"),
        ("pneumonia", "pneumonia/kermany/NORMAL/*.jpg"),
    ],
)
def test_a_real_film_is_in_scope(client: Client, real_film: Callable[[str], Path], route: str, pattern: str) -> None:
    assert ask(client, route, real_film(pattern))["meta"]["in_scope"]
