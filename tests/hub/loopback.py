"""A Hub on the loopback interface, in memory: what the *unmodified* Hugging Face clients need to push and to load.

The clients are pointed at it by `HF_ENDPOINT`, set before they are imported; nothing in them is patched. Commits are
content-addressed, large files are checked against their sha256, a wrong parent is refused with 412, and errors carry
the headers the clients tell them apart by. A request no route answers gets a 501 and is remembered in
`LoopbackHub.unknown`, so a client that starts to use something new is noticed.

```python
with LoopbackHub() as hub:
    os.environ["HF_ENDPOINT"], os.environ["HF_TOKEN"] = hub.url, hub.token
```
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub.store import LFS_FROM_BYTES, LFS_SUFFIXES, Blob, HubError, Repository, card_errors
from tests.hub.xet import XetStore

__all__ = ["Fault", "LoopbackHub", "Request"]

USER = "loopback"
REPO = r"(?P<id>[\w.-]+/[\w.-]+)"
API = rf"/api/(?P<kind>model|dataset|space)s/{REPO}"
ROUTES: list[tuple[str, str, str]] = [
    ("GET", r"/api/whoami-v2", "whoami"),
    ("POST", r"/api/repos/create", "create"),
    ("DELETE", r"/api/repos/delete", "delete"),
    ("POST", r"/api/repos/move", "move"),
    ("POST", r"/api/validate-yaml", "validate"),
    ("GET", r"/api/(?P<kind>model|dataset|space)s", "search"),
    ("POST", rf"{API}/preupload/(?P<rev>[^/]+)", "preupload"),
    ("POST", rf"{API}/commit/(?P<rev>[^/]+)", "commit"),
    ("GET", rf"{API}/xet-(?P<access>read|write)-token/(?P<rev>[^/]+)", "xet_token"),
    ("GET", rf"{API}/tree/(?P<rev>[^/]+)(?:/(?P<inside>.*))?", "tree"),
    ("POST", rf"{API}/paths-info/(?P<rev>[^/]+)", "paths_info"),
    ("GET", rf"{API}/commits/(?P<rev>[^/]+)", "commits"),
    ("GET", rf"{API}/refs", "refs"),
    ("POST", rf"{API}/branch/(?P<rev>[^/]+)", "add_branch"),
    ("DELETE", rf"{API}/branch/(?P<rev>[^/]+)", "delete_branch"),
    ("POST", rf"{API}/tag/(?P<rev>[^/]+)", "add_tag"),
    ("DELETE", rf"{API}/tag/(?P<rev>[^/]+)", "delete_tag"),
    ("PUT", rf"{API}/settings", "settings"),
    ("GET", rf"{API}(?:/revision/(?P<rev>[^/]+))?", "info"),
    ("POST", rf"/(?:(?P<kind>dataset|space)s/)?{REPO}\.git/info/lfs/objects/batch", "lfs_batch"),
    ("PUT", r"/lfs/(?P<oid>[0-9a-f]{64})(?:/(?P<part>\d+))?", "lfs_put"),
    ("POST", r"/lfs/(?P<oid>[0-9a-f]{64})/complete", "lfs_complete"),
    ("POST", r"/lfs/verify", "lfs_verify"),
    ("GET", rf"/(?:(?P<kind>dataset|space)s/)?{REPO}/resolve/(?P<rev>[^/]+)/(?P<inside>.+)", "resolve"),
    ("GET", r"/api/agent-harnesses", "nothing"),
]
MULTIPART_FROM_BYTES = 8 << 20


@dataclass
class Request:
    """One request, parsed. `query` and `form` hold lists, as URLs do."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: Any
    body: bytes
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        return json.loads(self.body or b"{}")

    def __getattr__(self, name: str) -> Any:
        try:
            return self.fields[name]
        except KeyError:
            raise AttributeError(name) from None


@dataclass
class Answer:
    """Status, headers and body; a body that is not bytes goes out as JSON."""

    body: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Fault:
    """What goes wrong with requests whose method and path match, `times` times.

    Args:
        method (`str`): HTTP method.
        path (`str`): Regular expression searched in the path.
        status (`int`, *optional*): Answer with this status instead.
        cut (`bool`): Close the connection half-way through the body of the request.
        corrupt (`bool`): Flip one bit of the last byte of the answer.
        before (callable, *optional*): Called first; somebody else's push, for example.
        skip (`int`): Let this many requests pass first.
        times (`int`): How often it happens; the default is always.
    """

    method: str
    path: str
    status: int | None = None
    cut: bool = False
    corrupt: bool = False
    before: Callable[[], object] | None = None
    skip: int = 0
    times: int = 1 << 30
    happened: int = 0

    def strikes(self, method: str, path: str) -> bool:
        if method != self.method or not re.search(self.path, path) or self.happened >= self.times:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.happened += 1
        return True


class LoopbackHub:
    """The server. Use as a context manager, or call `start` and `stop`.

    Args:
        xet (`bool`): Offer the Xet transport, through the client's own store in a local folder.
        page (`int`): Entries to a page of a listing.
    """

    def __init__(self, *, xet: XetStore | None = None, page: int = 1000):
        self.user, self.token, self.read_token = USER, "hf_loopbackwrite", "hf_loopbackread"
        self.page, self.xet = page, xet
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.large: dict[str, Blob] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.faults: list[Fault] = []
        self.unknown: list[str] = []
        self.log: list[tuple[str, str]] = []
        self._lock = threading.RLock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.hub = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> LoopbackHub:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> LoopbackHub:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @contextmanager
    def fault(self, method: str, path: str, **what: Any) -> Iterator[Fault]:
        """Let matching requests go wrong inside the block."""
        fault = Fault(method, path, **what)
        self.faults.append(fault)
        try:
            yield fault
        finally:
            self.faults.remove(fault)

    def files(self, repo_id: str, kind: str = "model", revision: str = "main") -> dict[str, bytes]:
        """What a revision of a repository holds."""
        return {
            path: blob.content for path, blob in self._repository(repo_id, kind).resolve(revision)[1].files.items()
        }

    def answer(self, request: Request) -> Answer:
        """Find the route and run it; the whole server does one thing at a time."""
        name = self._route(request)
        with self._lock:
            role = self._role(request)
            if (
                request.method not in ("GET", "HEAD")
                and name not in ("validate", "paths_info", "lfs_put", "lfs_complete")
                and role != "write"
            ):
                raise HubError(403, "this token may only read" if role else "you must be logged in")
            return getattr(self, f"_do_{name}")(request)

    def _route(self, request: Request) -> str:
        method = "GET" if request.method == "HEAD" else request.method
        for wanted, pattern, name in ROUTES:
            match = re.fullmatch(pattern, request.path)
            if match and wanted == method:
                request.fields = {key: unquote(value) if value else value for key, value in match.groupdict().items()}
                return name
        self.unknown.append(f"{request.method} {request.path}")
        raise HubError(501, f"the loopback Hub has no route {request.method} {request.path}")

    def _role(self, request: Request) -> str | None:
        given = request.headers.get("Authorization")
        if given is None:
            return None
        roles = {f"Bearer {self.token}": "write", f"Bearer {self.read_token}": "read"}
        if given not in roles:
            raise HubError(401, "Invalid credentials in Authorization header")
        return roles[given]

    def _repository(self, repo_id: str, kind: str | None) -> Repository:
        found = self.repositories.get((kind or "model", repo_id))
        if found is None:
            raise HubError(404, "Repository not found", "RepoNotFound")
        return found

    def _asked(self, request: Request) -> Repository:
        found = self._repository(request.id, request.kind)
        if found.private and self._role(request) is None:
            raise HubError(401, "Repository not found", "RepoNotFound")  # the Hub does not tell that it exists
        return found

    def _page(self, request: Request, entries: list[Any]) -> Answer:
        start = int(request.query.get("cursor", ["0"])[0])
        headers = {}
        if start + self.page < len(entries):
            query = "&".join(f"{key}={value[0]}" for key, value in request.query.items() if key != "cursor")
            headers["Link"] = f'<{self.url}{request.path}?{query}&cursor={start + self.page}>; rel="next"'
        return Answer(entries[start : start + self.page], headers=headers)

    def _do_nothing(self, request: Request) -> Answer:
        raise HubError(404, "not here")

    def _do_whoami(self, request: Request) -> Answer:
        role = self._role(request)
        if role is None:
            raise HubError(401, "Invalid username or password.")
        auth = {"type": "access_token", "accessToken": {"displayName": "test", "role": role}}
        return Answer({"type": "user", "name": self.user, "fullname": "Loop Back", "orgs": [], "auth": auth})

    def _do_create(self, request: Request) -> Answer:
        asked = request.json
        repo_id, kind = f"{asked.get('organization') or self.user}/{asked['name']}", asked.get("type") or "model"
        url = f"{self.url}/{'' if kind == 'model' else kind + 's/'}{repo_id}"
        if (kind, repo_id) in self.repositories:
            return Answer({"error": "You already created this repository", "url": url}, status=409)
        private = bool(asked.get("private")) or asked.get("visibility") == "private"
        self.repositories[kind, repo_id] = Repository(repo_id, kind, private=private)
        return Answer({"url": url, "name": repo_id})

    def _do_delete(self, request: Request) -> Answer:
        asked = request.json
        repo_id, kind = f"{asked.get('organization') or self.user}/{asked['name']}", asked.get("type") or "model"
        self._repository(repo_id, kind)
        del self.repositories[kind, repo_id]
        return Answer({})

    def _do_move(self, request: Request) -> Answer:
        asked = request.json
        kind = asked.get("type") or "model"
        repository = self._repository(asked["fromRepo"], kind)
        del self.repositories[kind, repository.id]
        repository.id = asked["toRepo"]
        self.repositories[kind, repository.id] = repository
        return Answer({})

    def _do_settings(self, request: Request) -> Answer:
        repository = self._asked(request)
        asked = request.json
        repository.private = asked.get("private", asked.get("visibility") == "private")
        return Answer(asked)

    def _do_validate(self, request: Request) -> Answer:
        errors = card_errors(request.json["content"], request.json["repoType"])
        found = {"errors": [{"message": message} for message in errors], "warnings": []}
        return Answer(found, status=400 if errors else 200)

    def _do_search(self, request: Request) -> Answer:
        infos = [
            repository.info("main")
            for (kind, _), repository in self.repositories.items()
            if kind == request.kind and not repository.private
        ]
        for key, keep in (
            ("search", lambda info, word: word.lower() in info["id"].lower()),
            ("author", lambda info, name: info["author"] == name),
            ("filter", lambda info, tag: tag in info["tags"]),
        ):
            for value in request.query.get(key, []):
                infos = [info for info in infos if keep(info, value)]
        return self._page(request, infos)

    def _do_info(self, request: Request) -> Answer:
        return Answer(self._asked(request).info(request.rev or "main", sizes="blobs" in request.query))

    def _do_refs(self, request: Request) -> Answer:
        repository = self._asked(request)
        kinds = {
            "branches": ("refs/heads/", repository.branches),
            "tags": ("refs/tags/", repository.tags),
            "pullRequests": ("", repository.pulls),
        }
        shown = {
            key: [{"name": name, "ref": prefix + name, "targetCommit": sha} for name, sha in refs.items()]
            for key, (prefix, refs) in kinds.items()
        }
        return Answer(shown | {"converts": []})

    def _do_commits(self, request: Request) -> Answer:
        return self._page(request, self._asked(request).history(request.rev))

    def _do_tree(self, request: Request) -> Answer:
        recursive = request.query.get("recursive", ["false"])[0].lower() in ("1", "true")
        return self._page(
            request, list(self._asked(request).listing(request.rev, request.inside or "", recursive=recursive))
        )

    def _do_paths_info(self, request: Request) -> Answer:
        asked = request.json["paths"] if request.body.startswith(b"{") else parse_qs(request.body.decode())["paths"]
        entries = self._asked(request).listing(request.rev, recursive=True)
        return Answer([entry for entry in entries if entry["path"] in asked])

    def _do_add_branch(self, request: Request) -> Answer:
        return self._add_ref(request, self._asked(request).branches, request.rev, request.json.get("startingPoint"))

    def _do_add_tag(self, request: Request) -> Answer:
        return self._add_ref(request, self._asked(request).tags, request.json["tag"], request.rev)

    def _add_ref(self, request: Request, refs: dict[str, str], name: str, start: str | None) -> Answer:
        if name in refs:
            raise HubError(409, f"Reference {name} already exists")
        refs[name] = self._asked(request).resolve(start or "main")[0]
        return Answer({})

    def _do_delete_branch(self, request: Request) -> Answer:
        return self._delete_ref(self._asked(request).branches, request.rev)

    def _do_delete_tag(self, request: Request) -> Answer:
        return self._delete_ref(self._asked(request).tags, request.rev)

    def _delete_ref(self, refs: dict[str, str], name: str) -> Answer:
        if refs.pop(name, None) is None:
            raise HubError(404, f"no reference {name}", "RevisionNotFound")
        return Answer({})

    def _do_preupload(self, request: Request) -> Answer:
        files = self._asked(request).resolve(request.rev)[1].files
        shown = []
        for asked in request.json["files"]:
            large = asked["path"].endswith(LFS_SUFFIXES) or asked["size"] >= LFS_FROM_BYTES
            known = {"oid": files[asked["path"]].etag} if asked["path"] in files else {}
            mode = "lfs" if large else "regular"
            shown.append({"path": asked["path"], "uploadMode": mode, "shouldIgnore": False, **known})
        return Answer({"files": shown})

    def _do_lfs_batch(self, request: Request) -> Answer:
        self._asked(request)
        objects = []
        for asked in request.json["objects"]:
            shown = {"oid": asked["oid"], "size": asked["size"]}
            if asked["oid"] not in self.large:
                href = f"{self.url}/lfs/{asked['oid']}"
                upload: dict[str, Any] = {"href": href}
                if asked["size"] > MULTIPART_FROM_BYTES:
                    count = -(-asked["size"] // MULTIPART_FROM_BYTES)
                    header = {str(number): f"{href}/{number}" for number in range(1, count + 1)}
                    upload = {"href": f"{href}/complete", "header": header | {"chunk_size": str(MULTIPART_FROM_BYTES)}}
                shown["actions"] = {"upload": upload, "verify": {"href": f"{self.url}/lfs/verify"}}
            objects.append(shown)
        return Answer({"transfer": "basic", "objects": objects})

    def _do_lfs_put(self, request: Request) -> Answer:
        if request.part:
            self.parts.setdefault(request.oid, {})[int(request.part)] = request.body
        else:
            self._keep(request.oid, request.body)
        return Answer(headers={"ETag": f'"{hashlib.md5(request.body).hexdigest()}"'})

    def _do_lfs_complete(self, request: Request) -> Answer:
        parts = self.parts.pop(request.oid, {})
        self._keep(request.oid, b"".join(parts[number] for number in sorted(parts)))
        return Answer({})

    def _keep(self, oid: str, content: bytes) -> None:
        if hashlib.sha256(content).hexdigest() != oid:
            raise HubError(422, f"the content sent for {oid} has another sha256")
        self.large[oid] = Blob(content, large=True)

    def _do_lfs_verify(self, request: Request) -> Answer:
        asked = request.json
        if asked["oid"] not in self.large or len(self.large[asked["oid"]].content) != asked["size"]:
            raise HubError(404, f"{asked['oid']} has not arrived")
        return Answer({})

    def _do_xet_token(self, request: Request) -> Answer:
        if self.xet is None:
            raise HubError(404, "this loopback Hub was started without Xet")
        self._asked(request)
        if request.access == "write" and self._role(request) != "write":
            raise HubError(403, "this token may only read")
        expires = int(time.time()) + 3600
        headers = {
            "X-Xet-Cas-Url": self.xet.url,
            "X-Xet-Access-Token": "loopback",
            "X-Xet-Token-Expiration": str(expires),
        }
        return Answer({"casUrl": self.xet.url, "accessToken": "loopback", "exp": expires}, headers=headers)

    def _do_commit(self, request: Request) -> Answer:
        repository = self._asked(request)
        operations = []
        for line in request.body.splitlines():
            item = json.loads(line)
            key, value = item["key"], item["value"]
            if key == "file":
                value["content"] = base64.b64decode(value["content"])
            if key == "lfsFile" and self.xet is not None and value["oid"] not in self.large:
                self.large[value["oid"]] = self.xet.fetch(value["oid"])
            operations.append((key, value))
        pull_request = request.query.get("create_pr", ["0"])[0] in ("1", "true")
        sha, number = repository.commit(request.rev, operations, large=self.large, pull_request=pull_request)
        base = f"{self.url}/{'' if repository.kind == 'model' else repository.kind + 's/'}{repository.id}"
        shown = {"success": True, "commitOid": sha, "commitUrl": f"{base}/commit/{sha}", "hookOutput": ""}
        return Answer(shown | ({"pullRequestUrl": f"{base}/discussions/{number}"} if number else {}))

    def _do_resolve(self, request: Request) -> Answer:
        sha, blob = self._asked(request).file(request.rev, request.inside)
        headers = {"X-Repo-Commit": sha, "ETag": f'"{blob.etag}"', "Accept-Ranges": "bytes"}
        if blob.large:
            headers |= {"X-Linked-Etag": f'"{blob.sha256}"', "X-Linked-Size": str(len(blob.content))}
        if blob.xet_hash:
            route = f"{self.url}/api/{request.kind or 'model'}s/{request.id}/xet-read-token/{sha}"
            headers |= {"X-Xet-Hash": blob.xet_hash, "Link": f'<{route}>; rel="xet-auth"'}
        span = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("Range") or "")
        if not span:
            return Answer(blob.content, headers=headers)
        size = len(blob.content)
        first = int(span[1]) if span[1] else max(0, size - int(span[2]))
        last = min(int(span[2]), size - 1) if span[1] and span[2] else size - 1
        if first >= size:
            return Answer(b"", status=416, headers=headers | {"Content-Range": f"bytes */{size}"})
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        return Answer(blob.content[first : last + 1], status=206, headers=headers)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    hub: LoopbackHub

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no event worth a traceback."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_: object) -> None:
        """Quiet; `LoopbackHub.log` has the requests."""

    def _handle(self) -> None:
        hub, url = self.server.hub, urlsplit(self.path)
        hub.log.append((self.command, url.path))
        faults = [fault for fault in list(hub.faults) if fault.strikes(self.command, url.path)]
        for fault in faults:
            if fault.before:
                fault.before()
        if any(fault.cut for fault in faults):
            self.rfile.read(int(self.headers.get("Content-Length") or 0) // 2)
            self.close_connection = True
            self.connection.close()
            return
        body = self._body()
        if body is None:  # the client is gone: half a request is none
            self.close_connection = True
            return
        request = Request(self.command, url.path, parse_qs(url.query), self.headers, body)
        try:
            status = next((fault.status for fault in faults if fault.status), None)
            if status:
                raise HubError(status, f"told to fail with {status}")
            answer = hub.answer(request)
        except HubError as error:
            headers = {"X-Error-Message": error.message}
            headers |= {"X-Error-Code": error.code} if error.code else {}
            headers |= {"X-Repo-Commit": error.commit} if error.commit else {}
            answer = Answer({"error": error.message}, status=error.status, headers=headers)
        except Exception as error:  # a fault of the loopback Hub itself must not look like a broken connection
            hub.unknown.append(f"{self.command} {url.path}: {error!r}")
            answer = Answer({"error": repr(error)}, status=501)
        self._send(answer, corrupt=any(fault.corrupt for fault in faults))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _handle  # noqa: N815

    def _body(self) -> bytes | None:
        """The body of the request; None if it ends early."""
        try:
            if self.headers.get("Transfer-Encoding") != "chunked":
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                return body if len(body) == length else None
            pieces = []
            while size := int(self.rfile.readline(), 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)
        except (OSError, ValueError):
            return None

    def _send(self, answer: Answer, *, corrupt: bool) -> None:
        body = answer.body
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
            answer.headers.setdefault("Content-Type", "application/json; charset=utf-8")
        if corrupt and body:
            body = body[:-1] + bytes([body[-1] ^ 1])
        self.send_response(answer.status)
        for key, value in answer.headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
