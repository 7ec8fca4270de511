"""A stand-in for the Hub's API, for its real client to talk to: repositories with commits, LFS, Spaces that build.

It keeps every commit as a whole tree, decides what is large as the Hub does (its ``.gitattributes``, size, binary
content) and refuses what the Hub refuses: a wrong token, a commit on another parent, binary content in plain git,
an LFS pointer without its object, settings that it does not know.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "hf_standInToken"
OWNER = "someone"
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
FIRST_ATTRIBUTES = b"".join(
    b"*.%s filter=lfs diff=lfs merge=lfs -text\n" % kind for kind in (b"bin", b"h5", b"pth", b"zip")
)
"""What the Hub puts into a new repository (some of it)."""


@dataclass(frozen=True)
class Blob:
    """A file of a commit: its bytes, and whether git holds only a pointer to them."""

    data: bytes
    large: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def oid(self) -> str:
        text = self.data
        if self.large:
            text = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n" % (
                self.sha256.encode(),
                len(self.data),
            )
        return hashlib.sha1(b"blob %d\0" % len(text) + text).hexdigest()


Tree = dict[str, Blob]


@dataclass
class Commit:
    oid: str
    title: str
    tree: Tree


@dataclass
class Repo:
    kind: str
    name: str
    private: bool = False
    hardware: str = "cpu-basic"
    commits: list[Commit] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)
    stages: list[dict[str, Any]] = field(default_factory=list)
    """What its runtime answers, one a look; the last one stays."""

    @property
    def head(self) -> Commit:
        return self.commits[-1]

    def commit(self, title: str, tree: Tree) -> Commit:
        oid = hashlib.sha1(f"{self.kind}/{self.name}/{len(self.commits)}/{title}".encode()).hexdigest()
        self.commits.append(Commit(oid, title, tree))
        return self.head

    def at(self, revision: str) -> Commit | None:
        if revision == "main":
            return self.head
        return next((commit for commit in self.commits if commit.oid == revision), None)

    def is_large(self, path: str, size: int, sample: bytes) -> bool:
        attributes = self.head.tree.get(".gitattributes", Blob(b"", False)).data.decode()
        return _covered(path, attributes) or size > 10e6 or _binary(sample)


def _covered(path: str, attributes: str) -> bool:
    patterns = [line.split()[0] for line in attributes.splitlines() if "filter=lfs" in line]
    return any(fnmatch(path.rpartition("/")[2], pattern) or path == pattern for pattern in patterns)


def _binary(sample: bytes) -> bool:
    return b"\0" in sample


@dataclass
class Hub:
    """What a test sees and sets."""

    app: str = "http://127.0.0.1:9"
    """Where its Spaces are said to run."""
    url: str = ""
    role: str = "write"
    repos: dict[tuple[str, str], Repo] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Method and path of every request."""
    building: list[str] = field(default_factory=lambda: ["BUILDING", "RUNNING_APP_STARTING"])
    outcome: dict[str, Any] = field(default_factory=lambda: {"stage": "RUNNING"})
    """The stages that each commit to a Space runs through, and where it ends."""

    def space(self, name: str) -> Repo:
        return self.repos["space", name]

    def model(self, name: str) -> Repo:
        return self.repos["model", name]

    def writes(self) -> list[tuple[str, str]]:
        return [(method, path) for method, path in self.asked if method not in ("GET", "HEAD")]

    def create(self, kind: str, name: str, private: bool = False, hardware: str | None = None) -> Repo:
        repo = self.repos[kind, name] = Repo(kind, name, private, hardware or "cpu-basic")
        readme = Blob(f"---\ntitle: {name}\nsdk: gradio\n---\n".encode(), False)
        first = {".gitattributes": Blob(FIRST_ATTRIBUTES, False)}
        repo.commit("initial commit", {**first, "README.md": readme} if kind == "space" else first)
        repo.stages = [{"stage": "NO_APP_FILE", "sha": repo.head.oid}]
        return repo

    def build(self, repo: Repo) -> None:
        """As after every commit: for a moment the former stage is still shown, of the former commit."""
        former, now = repo.stages[-1], repo.head.oid
        between = [{"stage": stage, "sha": former["sha"]} for stage in self.building]
        repo.stages = [former, *between, {**self.outcome, "sha": now}]


@contextmanager
def standing_in(hub: Hub) -> Iterator[Hub]:
    """Serve ``hub`` on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._route()

    def do_GET(self) -> None:
        self._route()

    def do_POST(self) -> None:
        self._route()

    def do_PUT(self) -> None:
        self._route()

    def _route(self) -> None:
        body = self._body()
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append((self.command, path))
        parts = path.strip("/").split("/")
        bearer = self.headers.get("Authorization")
        if bearer not in (None, f"Bearer {TOKEN}"):
            return self._refuse(401, "Invalid credentials in Authorization header")
        match parts:
            case ["api", "whoami-v2"]:
                if bearer is None:
                    return self._refuse(401, "Invalid username or password.")
                return self._json({"name": OWNER, "auth": {"accessToken": {"role": self.hub.role}}})
            case ["api", "validate-yaml"]:
                return self._validate(json.loads(body)["content"])
            case ["api", "repos", "create"]:
                return self._create(json.loads(body))
            case ["api", kind, owner, name, *rest] if kind in ("spaces", "models"):
                repo = self._repo(kind[:-1], f"{owner}/{name}", bearer)
                return self._api(repo, rest, body) if repo else None
            case ["lfs", kind, owner, name, sha256]:
                if hashlib.sha256(body).hexdigest() != sha256:
                    return self._refuse(400, "These are not the bytes of this hash.")
                self.hub.repos[kind, f"{owner}/{name}"].objects[sha256] = body
                return self._json({})
        kind = "space" if parts[0] == "spaces" else "model"
        match parts[1:] if kind == "space" else parts:
            case [owner, name, "info", "lfs", "objects", "batch"]:
                repo = self._repo(kind, f"{owner}/{name.removesuffix('.git')}", bearer)
                return self._lfs(repo, json.loads(body)["objects"]) if repo else None
            case [owner, name, "resolve", revision, *file]:
                repo = self._repo(kind, f"{owner}/{name}", bearer)
                return self._resolve(repo, revision, "/".join(file)) if repo else None
        return self._refuse(404, f"The stand-in knows no {self.command} {path}.")

    def _api(self, repo: Repo, rest: list[str], body: bytes) -> None:
        match rest:
            case [] | ["revision", _]:
                return self._json(self._info(repo))
            case ["runtime"]:
                return self._json(self._runtime(repo))
            case ["hardware"]:
                repo.hardware = json.loads(body)["flavor"]
                return self._json(self._runtime(repo))
            case ["commits", _]:
                listed = [
                    {"id": c.oid, "title": c.title, "message": "", "authors": [{"user": OWNER}],
                     "date": "2026-01-01T00:00:00.000Z"}
                    for c in reversed(repo.commits)
                ]  # fmt: skip
                return self._json(listed)
            case ["tree", revision]:
                commit = repo.at(revision)
                tree = commit.tree if commit else {}
                return self._json([_entry(path, blob) for path, blob in sorted(tree.items())])
            case ["paths-info", revision]:
                commit = repo.at(revision)
                asked = [unquote(pair.partition("=")[2]) for pair in body.decode().split("&") if "paths=" in pair]
                tree = commit.tree if commit else {}
                return self._json([_entry(path, tree[path]) for path in asked if path in tree])
            case ["preupload", _]:
                return self._preupload(repo, json.loads(body)["files"])
            case ["commit", _]:
                return self._commit(repo, [json.loads(line) for line in body.splitlines()])
        return self._refuse(404, f"The stand-in knows no {self.command} of {rest}.")

    def _info(self, repo: Repo) -> dict[str, Any]:
        info: dict[str, Any] = {"id": repo.name, "sha": repo.head.oid, "private": repo.private}
        if repo.kind == "space":
            info |= {"host": self.hub.app, "subdomain": "x", "sdk": "gradio", "runtime": self._runtime(repo)}
        return info

    def _runtime(self, repo: Repo) -> dict[str, Any]:
        stage = repo.stages.pop(0) if len(repo.stages) > 1 else repo.stages[0]
        return {**stage, "hardware": {"current": repo.hardware, "requested": repo.hardware}}

    def _validate(self, content: str) -> None:
        front = yaml.safe_load(content.split("---")[1]) if content.startswith("---") else {}
        wrong = []
        if len(front.get("short_description", "")) > 60:
            wrong.append('"short_description" length must be less than or equal to 60 characters long')
        wrong += [
            f'"{key}" must be one of {COLOURS}'
            for key in ("colorFrom", "colorTo")
            if front.get(key, "red") not in COLOURS
        ]
        if front.get("license") == "other" and not front.get("license_name"):
            wrong.append('"license_name" is required')
        self._json({"errors": [{"message": text} for text in wrong], "warnings": []}, 400 if wrong else 200)

    def _create(self, asked: dict[str, Any]) -> None:
        kind, name = asked.get("type", "model"), f"{asked['organization']}/{asked['name']}"
        if asked["organization"] != OWNER or self.hub.role != "write":
            return self._refuse(403, "You don't have the rights to create a repo here")
        if (kind, name) in self.hub.repos:
            return self._refuse(409, "You already created this repo")
        self.hub.create(kind, name, asked.get("visibility") == "private", asked.get("hardware"))
        return self._json({"url": f"{self.hub.url}/{'spaces/' if kind == 'space' else ''}{name}"})

    def _preupload(self, repo: Repo, files: list[dict[str, Any]]) -> None:
        answer = []
        for file in files:
            large = repo.is_large(file["path"], file["size"], base64.b64decode(file["sample"]))
            held = repo.head.tree.get(file["path"])
            oid = (held.sha256 if held.large else held.oid) if held else None
            mode = "lfs" if large else "regular"
            answer.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self._json({"files": answer})

    def _lfs(self, repo: Repo, objects: list[dict[str, Any]]) -> None:
        answer = []
        for wanted in objects:
            entry: dict[str, Any] = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in repo.objects:
                entry["actions"] = {"upload": {"href": f"{self.hub.url}/lfs/{repo.kind}/{repo.name}/{wanted['oid']}"}}
            answer.append(entry)
        self._json({"transfer": "basic", "objects": answer})

    def _commit(self, repo: Repo, lines: list[dict[str, Any]]) -> None:
        header, *operations = lines
        if header["value"].get("parentCommit", repo.head.oid) != repo.head.oid:
            return self._refuse(412, "A commit has happened since. Please refresh and try again.")
        tree = dict(repo.head.tree)
        for operation in operations:
            value, path = operation["value"], operation["value"]["path"]
            if operation["key"] == "deletedFile":
                if tree.pop(path, None) is None:
                    return self._refuse(404, "A file with this name doesn't exist")
            elif operation["key"] == "lfsFile":
                if value["oid"] not in repo.objects:
                    return self._refuse(400, f"LFS pointer pointed to a file that does not exist: {path}")
                tree[path] = Blob(repo.objects[value["oid"]], True)
            else:
                data = base64.b64decode(value["content"])
                if _binary(data[:8000]):
                    return self._refuse(400, f"Your push was rejected because it contains binary files: {path}")
                tree[path] = Blob(data, False)
        attributes = tree[".gitattributes"].data.decode()
        more = [path for path, blob in tree.items() if blob.large and not _covered(path, attributes)]
        attributes += "".join(f"{path} filter=lfs diff=lfs merge=lfs -text\n" for path in more)
        tree[".gitattributes"] = Blob(attributes.encode(), False)
        made = repo.commit(header["value"]["summary"], tree)
        self.hub.build(repo)
        return self._json({"commitUrl": f"{self.hub.url}/{repo.name}/commit/{made.oid}", "commitOid": made.oid})

    def _resolve(self, repo: Repo, revision: str, path: str) -> None:
        commit = repo.at(revision)
        if commit is None or path not in commit.tree:
            return self._refuse(404, "Entry not found", "EntryNotFound")
        blob = commit.tree[path]
        return self._send(
            200, blob.data, {"ETag": f'"{blob.sha256 if blob.large else blob.oid}"', "X-Repo-Commit": commit.oid}
        )

    def _repo(self, kind: str, name: str, bearer: str | None) -> Repo | None:
        repo = self.hub.repos.get((kind, name))
        if repo is None or (repo.private and bearer is None):
            self._refuse(404, "Repository not found", "RepoNotFound")
            return None
        if self.command in ("POST", "PUT") and (bearer is None or self.hub.role != "write"):
            self._refuse(403, "You have read access but not the required permissions for this operation")
            return None
        return repo

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            data = b""
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _json(self, answer: Any, status: int = 200) -> None:
        self._send(status, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _refuse(self, status: int, message: str, code: str = "") -> None:
        headers = {"Content-Type": "application/json", "X-Error-Message": message}
        self._send(
            status, json.dumps({"error": message}).encode(), {**headers, **({"X-Error-Code": code} if code else {})}
        )

    def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _entry(path: str, blob: Blob) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(blob.data), "oid": blob.oid}
    if blob.large:
        entry["lfs"] = {"oid": blob.sha256, "size": len(blob.data), "pointerSize": 134}
    return entry
