"""Deployment, with the Hub's real client against a stand-in for the Hub, and the real app as the Space."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest
import yaml
from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

import space.deploy.__main__ as command
from predictors.registry import models
from predictors.spec import ModelSpec
from space.deploy.answers import call_every_route
from space.deploy.errors import NotRunning
from space.deploy.files import FOLDERS, KINDS, SINGLE
from space.deploy.stages import Patience
from tests.running import ROOT, Space
from tests.space.hub import OWNER, TOKEN, Hub, Repo, standing_in

NAME = f"{OWNER}/second-look"
WEIGHTS = f"{OWNER}/second-look-weights"
KIND = {"bone_fracture": "limb", "fracture_detection": "limb", "fracture_type": "limb"}
KIND |= {"breast_cancer": "mammogram", "pneumonia": "chest"}

Deploy = Callable[..., int]


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project in a folder of its own. Networks but the scope guard's are a few bytes, with specs to match."""
    root = tmp_path_factory.mktemp("source") / "second-look"
    for path in (*SINGLE, "pyproject.toml"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, root / path)
    for folder in ("predictors", "space", "tests/space"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "weights" / "scope", root / "weights" / "scope")
    for name in KIND:
        folder = root / "weights" / name
        shutil.copytree(ROOT / "weights" / name, folder, ignore=shutil.ignore_patterns("model.*", "twin.*"))
        record = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
        twin = [f"<net>{name}</net>".encode(), b"\0twin of " + name.encode()]
        (folder / "twin.xml").write_bytes(twin[0])
        (folder / "twin.bin").write_bytes(twin[1])
        (folder / record["weights"]["file"]).write_bytes(b"\0weights of " + name.encode())
        record["weights"]["sha256"] = hashlib.sha256(b"\0weights of " + name.encode()).hexdigest()
        record["twin"]["sha256"] = hashlib.sha256(b"".join(twin)).hexdigest()
        (folder / "spec.json").write_text(json.dumps(record), encoding="utf-8")
    return root


@pytest.fixture
def checkout(source: Path, tmp_path: Path) -> Path:
    """The same as a git checkout, with things in it that are nobody's business."""
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    root = Path(shutil.copytree(source, tmp_path / "checkout"))
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "all of it")
    for planted in (".env", "space/.env", "space/notes.py", "weights/scope/patients.txt", "films/one.png"):
        (root / planted).parent.mkdir(exist_ok=True)
        (root / planted).write_text("SECRET=1")
    return root


def git(root: Path, *arguments: str) -> None:
    who = ["-c", "user.name=Someone", "-c", "user.email=someone@example.org"]
    subprocess.run(["git", "-C", root, *who, *arguments], check=True, capture_output=True)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with standing_in(Hub()) as hub:
        yield hub


@pytest.fixture
def deploy(hub: Hub, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deploy]:
    """The command against the stand-in, Git LFS in place of Xet; routes are not called unless asked for."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    disable_progress_bars()

    def run(*arguments: str, token: str = TOKEN, routes: bool = False, root: Path = checkout) -> int:
        if not routes:
            monkeypatch.setattr(command, "call_every_route", lambda *_: 12)
        named = arguments if arguments and not arguments[0].startswith("-") else (NAME, *arguments)
        login = ("--token", token) if token else ()
        return command.main([*named, *login], root=root, endpoint=hub.url, pause=0.02)

    yield run
    enable_progress_bars()


def tracked(root: Path) -> set[str]:
    listed = subprocess.run(["git", "-C", root, "ls-files"], check=True, capture_output=True, text=True)
    return set(listed.stdout.splitlines())


def text(repo: Repo, path: str) -> str:
    return repo.head.tree[path].data.decode()


def test_a_new_space_gets_what_it_needs_and_nothing_else_and_every_route_of_it_is_called(
    deploy: Deploy, hub: Hub, checkout: Path, space: Space, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    hub.app = space.url
    assert deploy(routes=True) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[-1].endswith(f"The Space: {hub.url}/spaces/{NAME}; the app: {space.url}")
    assert TOKEN not in said.out + said.err
    repo = hub.space(NAME)
    assert len(repo.commits) == 2  # the Hub's first one, and ours
    assert re.fullmatch(r"Second Look 1\.0\.0 \([0-9a-f]{7,}\)", repo.head.title)

    held = repo.head.tree
    assert set(held) == {
        path
        for path in tracked(checkout)
        if path in SINGLE or (path.startswith(FOLDERS) and not path.startswith("space/deploy/"))
    }
    assert {"app.py", "LICENSE", "docs/page.png", "weights/scope/model.pth", "space/page/theme.css"} <= set(held)
    assert not [path for path in held if "SECRET" in str(held[path].data[:20])]
    for path, blob in held.items():
        if path != ".gitattributes":
            assert blob.data == (checkout / path).read_bytes(), path
    large = {path for path, blob in held.items() if blob.large}
    assert large == {path for path in held if path.endswith((".png", ".bin", ".keras", ".h5", ".pth"))}
    # Whoever clones the Space has git treat as large what is large, and the Hub had no line to add.
    assert "*.keras filter=lfs diff=lfs merge=lfs -text\n" in text(repo, ".gitattributes")
    assert "weights/" not in text(repo, ".gitattributes")
    # Every picture that the page of the Space shows is there.
    shown = re.findall(r"!\[.*?\]\((?!http)(.*?)\)", text(repo, "README.md"))
    assert shown
    assert set(shown) <= set(held)
    # What was sent is enough to build the app from, with nothing of this checkout beside it.
    for path, blob in held.items():
        (tmp_path / "sent" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sent" / path).write_bytes(blob.data)
    started = subprocess.run(
        [sys.executable, "-c", "import app; app.create_app(); print(app.__file__)"],
        cwd=tmp_path / "sent", env=os.environ | {"TMPDIR": str(tmp_path)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert started.returncode == 0, started.stderr
    assert started.stdout.strip() == str(tmp_path / "sent" / "app.py")
    for name in KIND:
        assert f"  /{name}_heatmap" in said.out
        assert re.search(rf"^  /{name} +answers in \d+\.\d s$", said.out, re.MULTILINE)

    # Nothing changed: nothing is written.
    hub.asked.clear()
    assert deploy() == 0
    assert hub.writes() == []
    assert "0 files to send" in capsys.readouterr().out


def test_an_update_is_one_commit_that_sends_what_changed_and_deletes_what_is_gone(
    deploy: Deploy, hub: Hub, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy()
    repo = hub.space(NAME)
    before = repo.head.tree
    repo.commit("someone adds a file on the Hub", {**before, "app.pyc": before["app.py"]})
    (checkout / "app.py").write_text("print('new')\n")
    git(checkout, "rm", "--quiet", "predictors/adopt.py")
    (checkout / "space/notes.py").write_text("wanted = 1\n")
    git(checkout, "add", "space/notes.py")
    hub.asked.clear()
    assert deploy("--hardware", "cpu-upgrade") == 0
    assert repo.hardware == "cpu-upgrade"
    after = repo.head.tree
    assert len(repo.commits) == 4
    assert set(before) - set(after) == {"predictors/adopt.py"}
    assert set(after) - set(before) == {"space/notes.py"}
    assert after["app.py"].data == b"print('new')\n"
    assert not [path for _, path in hub.asked if "lfs" in path]
    assert "-dirty" in repo.head.title
    said = capsys.readouterr().out
    assert "delete  app.pyc" in said
    assert "delete  predictors/adopt.py" in said


def test_a_line_that_the_hub_adds_to_the_attributes_is_left_there(deploy: Deploy, hub: Hub) -> None:
    deploy()
    repo = hub.space(NAME)
    line = "notes.txt filter=lfs diff=lfs merge=lfs -text\n"
    blob = repo.head.tree[".gitattributes"]
    repo.head.tree[".gitattributes"] = type(blob)(blob.data + line.encode(), False)
    assert deploy() == 0
    assert len(repo.commits) == 2


def test_a_dry_run_says_everything_and_touches_nothing(
    deploy: Deploy, hub: Hub, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.role = "read"  # enough for looking
    assert deploy("--dry-run", "--weights-repo", WEIGHTS) == 0
    said = capsys.readouterr().out
    assert f"{hub.url}/spaces/{NAME} (to be created)" in said
    assert re.search(r"^  add +scope/twin\.bin +\d\.\d MB +large-file storage$", said, re.MULTILINE)
    assert re.search(r"^  add +app\.py +\d+\.\d kB$", said, re.MULTILINE)
    assert "weights/scope/twin.bin" not in said
    assert hub.repos == {}

    hub.role = "write"
    deploy()
    hub.space(NAME).head.tree["old.py"] = hub.space(NAME).head.tree["app.py"]
    (checkout / "app.py").write_text("print('new')\n")
    hub.asked.clear()
    capsys.readouterr()
    assert deploy("--dry-run") == 0
    assert deploy("--dry-run", "--rollback") == 1  # there is nothing before the first release
    said = capsys.readouterr().out
    assert "  update  app.py" in said
    assert "  delete  old.py" in said
    assert hub.writes() == []


def test_weights_in_a_repository_of_their_own_are_pinned_and_fetched_from_there(
    deploy: Deploy, hub: Hub, checkout: Path, tmp_path: Path
) -> None:
    assert deploy("--weights-repo", WEIGHTS) == 0
    networks, repo = hub.model(WEIGHTS), hub.space(NAME)
    assert {
        "README.md",
        "LICENSE.md",
        "scope/README.md",
        "scope/model.pth",
        "scope/twin.xml",
        "scope/spec.json",
    } <= set(networks.head.tree)
    assert networks.head.tree["scope/README.md"].data == (checkout / "weights/scope/card.md").read_bytes()
    card = yaml.safe_load(text(networks, "README.md").split("---")[1])
    assert (card["library_name"], card["pipeline_tag"]) == ("openvino", "image-classification")
    assert [path for path in networks.head.tree if networks.head.tree[path].large and "model" in path]

    assert not [path for path in repo.head.tree if path.endswith((".bin", ".xml", ".pth", ".h5", ".keras"))]
    front = yaml.safe_load(text(repo, "README.md").split("---")[1])
    assert front["models"] == [WEIGHTS]
    (preload,) = front["preload_from_hub"]
    assert preload.split()[0::2] == [WEIGHTS, networks.head.oid]
    assert preload.split()[1].split(",")[-2:] == ["scope/twin.xml", "scope/twin.bin"]
    assert {key: front[key] for key in ("sdk_version", "python_version", "app_file")} == {
        key: front_matter()[key] for key in ("sdk_version", "python_version", "app_file")
    }

    # What the Space holds loads there: its compiled network is fetched at that revision, and is the one that was sent.
    folder = tmp_path / "scope"
    folder.mkdir()
    (folder / "spec.json").write_bytes(repo.head.tree["weights/scope/spec.json"].data)
    spec = ModelSpec.read(folder)
    assert spec.hub is not None
    assert (spec.hub.repo, spec.hub.revision) == (WEIGHTS, networks.head.oid)
    hub.asked.clear()
    loaded = load(folder, HF_ENDPOINT=hub.url, HF_HOME=str(tmp_path / "home"))
    assert loaded.returncode == 0, loaded.stderr
    assert loaded.stdout.split() == [str(spec.outputs), "False", "False"]
    fetched = {path.rpartition("/")[2] for method, path in hub.asked if method == "GET"}
    assert fetched == {"twin.xml", "twin.bin"}  # and not the weights that they were made from
    offline = load(folder, HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=str(tmp_path / "home"))
    assert offline.returncode == 0, offline.stderr

    hub.asked.clear()
    assert deploy("--weights-repo", WEIGHTS) == 0
    assert hub.writes() == []


def load(folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    program = """
import sys, numpy
from pathlib import Path
from predictors.runtime import load_network
from predictors.spec import ModelSpec
folder = Path(sys.argv[1])
spec = ModelSpec.read(folder)
output = load_network(spec, folder, folder / "cache")(numpy.zeros((1, spec.input.size, spec.input.size, 3), "float32"))
print(len(output.logits), "torch" in sys.modules, (folder / "cache").exists())
"""
    return subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        cwd=ROOT, env=os.environ | environment | {"HF_HUB_DISABLE_XET": "1"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_a_twin_on_the_hub_that_does_not_match_is_not_used(deploy: Deploy, hub: Hub, tmp_path: Path) -> None:
    deploy("--weights-repo", WEIGHTS)
    tree = hub.model(WEIGHTS).head.tree
    tree["scope/twin.bin"] = type(tree["scope/twin.bin"])(tree["scope/twin.bin"].data[::-1], True)
    tree["scope/model.pth"] = type(tree["scope/model.pth"])(b"other weights", True)
    (tmp_path / "spec.json").write_bytes(hub.space(NAME).head.tree["weights/scope/spec.json"].data)
    loaded = load(tmp_path, HF_ENDPOINT=hub.url, HF_HOME=str(tmp_path / "home"))
    assert loaded.returncode == 1
    assert "The weights of scope are not the ones its spec.json names" in loaded.stderr


def test_a_rollback_restores_the_previous_commit_without_an_upload(
    deploy: Deploy, hub: Hub, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy()
    repo = hub.space(NAME)
    first = repo.head
    for path in ("app.py", "weights/pneumonia/card.md", "weights/scope/roc.png"):
        (checkout / path).write_bytes(b"\0new" if path.endswith("png") else b"new\n")
    git(checkout, "rm", "--quiet", "--cached", "weights/scope/confusion.png")
    git(checkout, "add", "weights/scope/roc.png")
    deploy()
    second = repo.head
    assert second.tree.keys() ^ first.tree.keys() == {"weights/scope/roc.png", "weights/scope/confusion.png"}

    repo.objects = dict.fromkeys(repo.objects, b"kept")  # nothing large may be needed but its hash
    hub.asked.clear()
    assert deploy("--rollback", "--dry-run") == 0
    assert "  restore app.py\n" in capsys.readouterr().out
    assert hub.writes() == []
    assert deploy("--rollback") == 0
    assert len(repo.commits) == 4
    assert repo.head.title == f"Back to {first.oid[:8]}"
    assert {p: b.data for p, b in repo.head.tree.items() if not b.large} == {
        p: b.data for p, b in first.tree.items() if not b.large
    }
    assert repo.head.tree.keys() == first.tree.keys()
    assert repo.head.tree["weights/scope/confusion.png"].data == b"kept"
    assert not [path for method, path in hub.asked if method == "PUT" or "preupload" in path]

    assert deploy("--rollback") == 0  # and forward again
    assert repo.head.tree.keys() == second.tree.keys()
    assert text(repo, "app.py") == "new\n"


def test_a_space_that_does_not_run_ends_the_wait(deploy: Deploy, hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.outcome = {"stage": "BUILD_ERROR", "errorMessage": "Job failed with exit code: 1.\nReason: no torch"}
    assert deploy("--timeout", "600") == 3
    assert capsys.readouterr().err == (
        f"The Space could not be built (BUILD_ERROR); see {hub.url}/spaces/{NAME}?logs=build."
        " The Hub says: Job failed with exit code: 1. Reason: no torch\n"
    )
    hub.outcome, hub.building = {"stage": "PAUSED"}, []
    assert deploy("--rollback") == 1
    hub.space(NAME).stages = [{"stage": "PAUSED"}]  # it does not say of which commit
    assert deploy("--timeout", "600") == 3
    assert "The Space is paused; restart it in its settings (PAUSED)" in capsys.readouterr().err
    hub.space(NAME).stages = [{"stage": "BUILDING", "sha": hub.space(NAME).head.oid}]
    assert deploy("--timeout", "0.1") == 3
    assert capsys.readouterr().err.startswith("The Space does not run yet (last seen: BUILDING)")
    # The former release runs, and this one never does.
    hub.space(NAME).stages = [{"stage": "RUNNING", "sha": "0" * 40}]
    assert deploy("--timeout", "0.3") == 3
    assert "last seen: RUNNING" in capsys.readouterr().err


def test_what_the_hub_refuses_is_said_in_one_sentence(
    deploy: Deploy, hub: Hub, checkout: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusal(*arguments: str, **options: str) -> str:
        assert deploy(*arguments, **options) == 1
        said = capsys.readouterr()
        (line,) = said.err.splitlines()
        assert options.get("token", TOKEN) == "" or options.get("token", TOKEN) not in said.out + line
        return str(line)

    assert "does not accept the token" in refusal(token="hf_wrong")
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(checkout / "none"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    assert "There is no saved login" in refusal(token="")
    assert "may not do this" in refusal("stranger/second-look")
    hub.role = "read"
    assert "can only read" in refusal()
    hub.role = "write"
    assert "no two of these signs in a row" in refusal(f"{OWNER}/second--look")
    assert "no Space someone/second-look to roll back" in refusal("--rollback")

    theirs = hub.create("space", NAME)
    theirs.head.tree["main.py"] = theirs.head.tree["README.md"]
    assert "holds something else" in refusal()
    assert "holds something else" in refusal("--weights-repo", WEIGHTS)
    assert ("model", WEIGHTS) not in hub.repos
    del theirs.head.tree["main.py"]
    assert "exists and is public" in refusal("--private")

    readme = (checkout / "README.md").read_text(encoding="utf-8")
    (checkout / "README.md").write_text(readme.replace("colorFrom: gray", "colorFrom: black"), encoding="utf-8")
    assert "colorFrom" in refusal()
    (checkout / "weights/scope/twin.bin").write_text("version https://git-lfs.github.com/spec/v1\n")
    assert "The weights of scope are not the ones its spec.json names; fetch them again." in refusal()
    (checkout / "LICENSE").unlink()
    assert refusal() == "LICENSE is missing; put it back, or unpack the source again."
    assert len(theirs.commits) == 1
    hub.url = "http://127.0.0.1:9"
    assert "cannot be reached" in refusal()


@pytest.mark.parametrize(
    "arguments",
    [("second-look",), ("a/b/c",), ("../../x",), (NAME, "--weights-repo", "weights"), (NAME, "--rollback", "--private"),
     (NAME, "--private", "--weights-repo", WEIGHTS)],
)  # fmt: skip
def test_a_command_that_makes_no_sense_asks_nobody(deploy: Deploy, hub: Hub, arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        deploy(*arguments)
    assert ended.value.code == 2
    assert hub.asked == []


def test_a_source_archive_without_git_gives_the_same_files(
    deploy: Deploy, hub: Hub, checkout: Path, source: Path, tmp_path: Path
) -> None:
    deploy()
    archive = Path(shutil.copytree(source, tmp_path / "archive"))
    for path in (".env", "space/.env", "space/__pycache__/ui.cpython-311.pyc", "space/notes~", ".venv/lib/x.py"):
        (archive / path).parent.mkdir(parents=True, exist_ok=True)
        (archive / path).write_text("SECRET=1")
    hub.asked.clear()
    assert deploy(root=archive) == 0
    assert hub.writes() == []


def test_the_command_itself(hub: Hub, source: Path) -> None:
    hub.create("space", NAME)
    done = subprocess.run(
        [sys.executable, "-m", "space.deploy", NAME, "--dry-run"],
        cwd=source, env=os.environ | {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(r"^  add +predictors/registry\.py", done.stdout, re.MULTILINE)
    assert hub.writes() == []


def test_a_refusal_is_not_an_answer(space: Space, capsys: pytest.CaptureFixture[str]) -> None:
    patience = Patience.of(60, 0.02)
    with pytest.raises(NotRunning, match=r"does not answer at .*/pneumonia.*/pneumonia_heatmap\.$"):
        call_every_route(space.url, None, {**KIND, "pneumonia": "limb"}, patience)
    assert re.search(r"/pneumonia +This does not look like", capsys.readouterr().out)
    with pytest.raises(NotRunning, match=r"^The Space runs, but http://127\.0\.0\.1:9 does not answer"):
        call_every_route("http://127.0.0.1:9", None, KIND, patience)


def test_every_kind_of_file_that_is_shipped_is_known() -> None:
    shipped = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
    assert {path.suffix for path in shipped if path.suffix != ".pyc"} <= KINDS
    # And git treats all of them that are no text as binary, of which the Space's large-file storage is made.
    attributes = (ROOT / ".gitattributes").read_text(encoding="utf-8")
    binary = {path.suffix for path in shipped if path.suffix != ".pyc" and b"\0" in path.read_bytes()[:8000]}
    assert binary
    assert all(f"*{suffix} binary\n" in attributes for suffix in binary)


def test_the_films_that_a_space_is_asked_about_cover_its_models() -> None:
    scopes = {model.name: ModelSpec.read(ROOT / "weights" / model.name).scope for model in models()}
    assert scopes == KIND


def front_matter() -> dict[str, str]:
    return yaml.safe_load((ROOT / "README.md").read_text(encoding="utf-8").split("---\n")[1])  # type: ignore[no-any-return]


def test_the_front_matter_says_what_the_project_says() -> None:
    front = front_matter()
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"gradio=={front['sdk_version']}" in pins
    assert project["requires-python"].startswith(f">={front['python_version']},")
    assert front["sdk"] == "gradio"
    assert (ROOT / front["app_file"]).is_file()
    assert 0 < len(front["short_description"]) <= 60
    assert front["license"].upper() == project["license"]["text"]
    assert front["tags"]
    assert re.fullmatch(r"\d+[smh]", front["startup_duration_timeout"])
    assert "models" not in front  # there is none until someone makes one: see --weights-repo
    # A Space installs these first; the same versions, as builds for the CPU.
    first = (ROOT / "pre-requirements.txt").read_text(encoding="utf-8")
    assert {line.removesuffix("+cpu") for line in first.splitlines() if "==" in line} <= set(pins)
