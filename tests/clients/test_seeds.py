"""The calls that each of the five services published, as they stand there, but for the address."""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.drawings import encoded
from tests.films import chest, limb, mammogram
from tests.running import Space

RAW_FETCH = """
const formData = new FormData();
formData.append("data", file);

const res = await fetch(
  "ADDRESS/run/predict",
  { method: "POST", body: formData }
);

const json = await res.json();
console.log(JSON.stringify(json));
"""

HELPER = """
import { Client, handle_file } from "@gradio/client";

export async function classifyImage(file) {
  const client = await Client.connect("ADDRESS");
  const result = await client.predict("/predict", [
    handle_file(file),
  ]);

  const raw = result.data[0];
  return {
    label: raw.predicted_label,
    fracture: raw.fracture_probability,
    normal: raw.normal_probability,
  };
}
console.log(JSON.stringify(await classifyImage(file)));
process.exit(0);
"""

REQUESTS_ONE = """
import requests

url = "ADDRESS/api/breast_cancer/predict"
files = {"file": open("mammogram.jpg", "rb")}
response = requests.post(url, files=files)
print(response.json())
"""

REQUESTS_BATCH = """
import requests

url = "ADDRESS/api/breast_cancer/batch-predict"
files = [
    ("files", open("image1.jpg", "rb")),
    ("files", open("image2.jpg", "rb")),
    ("files", open("image3.jpg", "rb"))
]
response = requests.post(url, files=files)
print(response.json())
"""


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the calls name."""
    folder = tmp_path_factory.mktemp("films")
    for name in ("mammogram.jpg", "image1.jpg", "image2.jpg", "image3.jpg"):
        (folder / name).write_bytes(encoded(mammogram(), "JPEG"))
    (folder / "image.jpg").write_bytes(encoded(limb(), "JPEG"))
    (folder / "xray_image.jpg").write_bytes(encoded(chest(), "JPEG"))
    return folder


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def shell(command: str, space: Space, films: Path) -> Any:
    if not shutil.which("curl"):
        pytest.skip("curl is not installed, and this test asks with it")
    return json.loads(run(["sh", "-c", command.replace("ADDRESS", space.url)], films))


def python(program: str, space: Space, films: Path) -> Any:
    return ast.literal_eval(run([sys.executable, "-c", program.replace("ADDRESS", space.url)], films))


def javascript(program: str, space: Space, films: Path, node: Path) -> Any:
    """``file`` is what a picker would hand over."""
    film = json.dumps(str(films / "image.jpg"))
    picked = f'import {{ readFileSync }} from "node:fs";\nconst file = new File([readFileSync({film})], "image.jpg");\n'
    (node / "seed.mjs").write_text(picked + program.replace("ADDRESS", space.url))
    return json.loads(run(["node", "seed.mjs"], node))


def test_bone_fracture_by_raw_fetch(space: Space, films: Path, node: Path) -> None:
    answer = javascript(RAW_FETCH, space, films, node)["data"][0]
    assert answer["predicted_label"] in ("fracture", "normal")
    assert answer["fracture_probability"] + answer["normal_probability"] == pytest.approx(1, abs=1e-9)


def test_bone_fracture_by_the_typescript_helper(space: Space, films: Path, node: Path) -> None:
    answer = javascript(HELPER, space, films, node)
    assert set(answer) == {"label", "fracture", "normal"}
    assert answer["fracture"] + answer["normal"] == pytest.approx(1, abs=1e-9)


def test_fracture_detection_by_curl(space: Space, films: Path) -> None:
    answer = shell('curl -X POST ADDRESS/api/fracture_detection/predict -F "file=@image.jpg"', space, films)
    assert answer["prediction"] in ("fractured", "not fractured")


def test_fracture_type_by_its_field_name(space: Space, films: Path) -> None:
    answer = shell('curl -X POST ADDRESS/api/fracture_type/predict -F "image=@image.jpg"', space, films)
    assert {"success", "confidence", "allProbabilities"} < set(answer)
    assert [each["class"] for each in answer["allProbabilities"]] == ["fisura", "fractura"]


def test_breast_cancer_by_curl(space: Space, films: Path) -> None:
    answer = shell('curl -X POST "ADDRESS/api/breast_cancer/predict" -F "file=@mammogram.jpg"', space, films)
    assert answer["image_info"] == {"filename": "mammogram.jpg", "size": "480x640", "format": "JPEG"}
    health = shell("curl ADDRESS/api/breast_cancer/health", space, films)
    assert health["status"] == "healthy"
    assert set(health) == {"status", "service", "version", "model_status"}


def test_breast_cancer_by_requests(space: Space, films: Path) -> None:
    answer = python(REQUESTS_ONE, space, films)
    assert answer["prediction"] in ("Benign", "Malignant")
    assert sum(answer["probabilities"].values()) == pytest.approx(100, abs=1e-9)
    batch = python(REQUESTS_BATCH, space, films)
    assert (batch["total_images"], batch["successful"], batch["failed"]) == (3, 3, 0)
    assert [row["filename"] for row in batch["results"]] == ["image1.jpg", "image2.jpg", "image3.jpg"]


def test_pneumonia_by_curl(space: Space, films: Path) -> None:
    answer = shell("curl -X POST ADDRESS/api/pneumonia/predict \\\n  -F file=@xray_image.jpg", space, films)
    assert answer["prediction"] in ("Pneumonia", "Normal")


def test_the_interactive_documentation_is_where_it_was(space: Space) -> None:
    assert "swagger" in httpx.get(f"{space.url}/docs").text
    assert "redoc" in httpx.get(f"{space.url}/redoc").text
