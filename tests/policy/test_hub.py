"""Against a hub of the test's own: huggingface_hub itself does the asking, the download and the cache."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from rarrl.errors import InputError
from rarrl.policy.hub import hub_folder
from rarrl.policy.registry import SHIPPED, load_policy, policy_folder, runs_own_code

pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed: pip install 'rarrl[hub]'")
from huggingface_hub import constants

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SPEC = f"hf:lab/kitchen-arm@{COMMIT}"


class Hub(BaseHTTPRequestHandler):
    """A repository with one commit; `asked` counts what is downloaded."""

    files: ClassVar[dict[str, bytes]] = {}
    asked: ClassVar[list[str]] = []

    def do_GET(self):
        self._answer(with_body=True)

    def do_HEAD(self):
        self._answer(with_body=False)

    def _answer(self, with_body):
        path = self.path.split("?")[0]
        name = path.rpartition(f"/resolve/{COMMIT}/")[2]
        if path.startswith("/api/models/lab/kitchen-arm/tree/"):
            tree = [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for name, content in self.files.items()
            ]
            return self._send(200, json.dumps(tree).encode(), with_body)
        if path.startswith("/api/models/lab/kitchen-arm"):
            siblings = [{"rfilename": name} for name in self.files]
            body = {"_id": "1", "id": "lab/kitchen-arm", "sha": COMMIT, "siblings": siblings}
            return self._send(200, json.dumps(body).encode(), with_body)
        if name in self.files and "/lab/kitchen-arm/" in path:
            if with_body:
                self.asked.append(name)
            return self._send(200, self.files[name], with_body)
        return self._send(404, b"{}", with_body)

    def _send(self, status, body, with_body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
        if status == 404:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setattr(Hub, "files", {path.name: path.read_bytes() for path in SHIPPED.iterdir() if path.is_file()})
    Hub.files |= {"pytorch_model.bin": b"pickle", "train.py": b"print()"}
    monkeypatch.setattr(Hub, "asked", [])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    yield server
    server.shutdown()
    server.server_close()


def test_it_is_downloaded_once_without_what_can_hold_code(server):
    folder = hub_folder(SPEC)
    assert (folder / "card.json").read_bytes() == Hub.files["card.json"]
    assert sorted(Hub.asked) == sorted(path.name for path in folder.iterdir())
    assert not {"pytorch_model.bin", "train.py"} & set(Hub.asked)

    server.shutdown()
    server.server_close()
    Hub.asked.clear()
    assert policy_folder(SPEC) == folder  # without a network
    assert Hub.asked == []


def test_it_acts_as_the_same_folder_does(server):
    pytest.importorskip("llama_cpp")
    ours, theirs = load_policy(""), load_policy(SPEC)
    try:
        assert theirs.spec == ours.spec
    finally:
        ours.close()
        theirs.close()


def test_half_a_copy_is_completed(server):
    folder = hub_folder(SPEC)
    (folder / "card.json").unlink()
    assert (hub_folder(SPEC) / "card.json").exists()


def test_neither_here_nor_there(server):
    with pytest.raises(InputError, match=r"'hf:lab/other@01234.* is neither in the cache .* nor does the hub give it"):
        hub_folder(f"hf:lab/other@{COMMIT}")


def test_what_may_move_is_no_name(server):
    with pytest.raises(InputError, match=f"'main' may be moved .* today it is {SPEC}"):
        hub_folder("hf:lab/kitchen-arm@main")
    server.shutdown()
    server.server_close()
    with pytest.raises(InputError, match=r"name a commit by its 40 digits$"):
        hub_folder("hf:lab/kitchen-arm@main")


@pytest.mark.parametrize("spec", ["hf:", "hf:lab/arm", "hf:lab@" + COMMIT, "hf:../arm@" + COMMIT, "hf:a/b/c@" + COMMIT])
def test_other_forms(spec):
    with pytest.raises(InputError, match=r"allowed: hf:ORG/NAME@COMMIT"):
        hub_folder(spec)


def test_it_runs_no_code():
    assert not runs_own_code(SPEC)


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"pip install \"rarrl\[hub\]\""):
        hub_folder(SPEC)
