"""The TypeScript client: in step with the service, through everything that a Space puts it through, and installable."""

import json
import re
from dataclasses import asdict
from pathlib import Path

from tests.clients.npm import CLIENTS, run
from tests.clients.sleeping import SleepingSpace, sleeping_space
from tests.running import Space

SOURCES = CLIENTS / "typescript"


def node_test(typescript: Path, *names: str, space: SleepingSpace | None = None, **films: Path) -> None:
    """Run ``test/<name>.test.ts``, telling them where the Space is, and where a film of each kind lies."""
    environment = {
        "SPACE": json.dumps(asdict(space) if space else {}),
        "FILMS": json.dumps({kind: str(path) for kind, path in films.items()}),
    }
    run("node", "--test", *(f"build/test/{name}.test.js" for name in names), cwd=typescript, **environment)


def test_its_types_are_those_of_the_openapi_document(typescript: Path) -> None:
    run("npm", "run", "types", cwd=typescript)
    assert (typescript / "src" / "openapi.ts").read_text() == (SOURCES / "src" / "openapi.ts").read_text()


def test_api_ts_is_the_package_in_one_file(typescript: Path) -> None:
    run("npm", "run", "api", cwd=typescript)
    assert (typescript / "api.ts").read_text() == (SOURCES / "api.ts").read_text()


def test_its_parts(typescript: Path) -> None:
    node_test(typescript, "patience", "wake", "films", "wire")


def test_it_comes_through_with_one_answer(typescript: Path, stand_in: SleepingSpace, drawn: dict[str, Path]) -> None:
    pasted = typescript / "build" / "api.js"  # whoever pastes it names their Space
    named = pasted.read_text().replace('"owner/second-look"', json.dumps(stand_in.space))
    assert named != pasted.read_text()
    pasted.write_text(named)
    node_test(typescript, "drill", space=stand_in, **drawn)


def test_it_wakes_a_space_in_real_time(typescript: Path, drawn: dict[str, Path]) -> None:
    with sleeping_space(real=True) as space:
        node_test(typescript, "real", space=space, **drawn)


BEFORE = """
import { readFile } from "node:fs/promises";
import { Refused, type FractureType } from "second-look-client";
const [chest, limb] = await Promise.all(process.argv.slice(2).map((path) => readFile(path))) as [Buffer, Buffer];
const film = chest;
"""
AFTER = """
const type: FractureType = await space.fractureType(limb);
const named = type.success === 1 ? type.predictedClass : type.message;
const refused = await space.pneumonia(limb).catch((error: unknown) => error);
console.log(answer.meta.model, picture.size > 0, named.length > 0, refused instanceof Refused && refused.code);
"""


def test_its_package_is_what_callers_need_and_no_more(packed: Path) -> None:
    package = packed / "node_modules" / "second-look-client"
    names = {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}
    assert {"api.ts", "README.md", "LICENSE", "dist/index.js", "dist/index.d.ts"} <= names
    assert not [name for name in names if name.startswith(("src", "test", "build", "node_modules"))]


def test_in_an_empty_folder_it_does_what_its_readme_shows(
    typescript: Path, packed: Path, space: Space, drawn: dict[str, Path]
) -> None:
    (shown,) = re.findall(r"```ts\n(.*?)```", (SOURCES / "README.md").read_text(), flags=re.DOTALL)
    assert "owner/space" in shown
    (packed / "caller.ts").write_text(BEFORE + shown.replace("owner/space", space.url) + AFTER)
    tools = typescript / "node_modules"
    tsc = [str(tools / ".bin" / "tsc"), "--strict", "--target", "es2022", "--module", "nodenext", "--skipLibCheck"]
    run(*tsc, "--typeRoots", str(tools / "@types"), "--types", "node", "caller.ts", cwd=packed)
    told = run("node", "caller.js", *(str(drawn[kind]) for kind in ("chest", "limb")), cwd=packed).splitlines()
    assert told[-1] == "pneumonia true true out_of_scope"
    assert told[0].startswith("queued")
