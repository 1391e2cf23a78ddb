"""Downloads from a server on loopback that breaks connections, sends wrong bytes, and knows ranges or not."""

import functools
import hashlib
import http.server
import io
import re
import subprocess
import tarfile
import threading
from pathlib import Path

import pytest
from corpus_trees import BUILDERS

import local.aishell
import local.audio_cmn
from steps import download
from steps.common.errors import UserError
from steps.config.schema import Corpus
from steps.download import Archive, fetch_all, tree_hash


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.files`; ends a connection after `server.breaks` bytes, as long as `server.broken` is above 0."""

    def do_GET(self):
        server = self.server
        content = server.files.get(self.path)
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        begin = int(asked[1]) if asked and server.ranges else 0
        server.asked.append(begin)
        if content is None or server.status:
            self.send_error(server.status or 404)
        elif begin >= len(content):
            self.send_error(416)
        else:
            self.send_response(206 if begin else 200)
            self.send_header("Content-Length", str(len(content) - begin))
            self.end_headers()
            end = len(content)
            if server.broken:
                server.broken -= 1
                end = begin + server.breaks
            self.wfile.write(content[begin:end])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.asked, server.ranges = {}, [], True
    server.breaks = server.broken = server.status = 0
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def packed(folder: Path, name: str) -> bytes:
    """A .tar.gz of a folder, under a name."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        tar.add(folder, name)
    return raw.getvalue()


def serve(server, content: bytes, **keys) -> Archive:
    server.files["/corpus.tgz"] = content
    url = f"http://127.0.0.1:{server.server_address[1]}/corpus.tgz"
    md5 = hashlib.md5(content).hexdigest()
    return Archive(**{"url": url, "size": len(content), "md5": md5, "folder": "corpus", **keys})


fetch = functools.partial(fetch_all, pause_s=0.0)


@pytest.fixture
def folder(tmp_path) -> Path:
    path = tmp_path / "made/corpus"
    path.mkdir(parents=True)
    (path / "speech.wav").write_bytes(hashlib.sha256(b"1").digest() * 1000)
    (path / "text").write_text("你好\n")
    return path


def below(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


WHOLE = ["corpus", "corpus.tgz", "corpus/.complete", "corpus/speech.wav", "corpus/text"]


def test_download_and_once_only(server, folder, tmp_path):
    archive = serve(server, packed(folder, "corpus"))
    fetch([archive], tmp_path / "root")
    assert below(tmp_path / "root") == WHOLE
    assert (tmp_path / "root/corpus/speech.wav").read_bytes() == (folder / "speech.wav").read_bytes()
    fetch([archive], tmp_path / "root")
    assert server.asked == [0]


@pytest.mark.parametrize(("ranges", "asked"), [(True, [0, 100, 200]), (False, [0, 0, 0])])
def test_goes_on_where_the_connection_broke(server, folder, tmp_path, ranges, asked):
    """A server without ranges sends all again."""
    server.broken, server.breaks, server.ranges = 2, 100, ranges
    fetch([serve(server, packed(folder, "corpus"))], tmp_path / "root")
    assert server.asked == asked and below(tmp_path / "root") == WHOLE


def test_goes_on_in_the_next_run(server, folder, tmp_path):
    archive = serve(server, packed(folder, "corpus"))
    server.broken, server.breaks = 1 + download.ATTEMPTS, 0
    with pytest.raises(UserError, match="run again to go on"):
        fetch([archive], tmp_path / "root")
    (tmp_path / "root/corpus.tgz.part").write_bytes(server.files["/corpus.tgz"][:150])
    server.broken, server.asked = 0, []
    fetch([archive], tmp_path / "root")
    assert server.asked == [150] and below(tmp_path / "root") == WHOLE


def test_all_bytes_there_but_not_yet_checked(server, folder, tmp_path):
    content = packed(folder, "corpus")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/corpus.tgz.part").write_bytes(content)
    fetch([serve(server, content, size=None)], tmp_path / "root")
    assert below(tmp_path / "root") == WHOLE


def test_wrong_bytes_are_removed(server, folder, tmp_path):
    content = packed(folder, "corpus")
    archive = serve(server, content)
    server.files["/corpus.tgz"] = content[:-1] + bytes([content[-1] ^ 1])
    with pytest.raises(UserError, match="its MD5 is"):
        fetch([archive], tmp_path / "root")
    assert below(tmp_path / "root") == []
    server.files["/corpus.tgz"] = content
    fetch([archive], tmp_path / "root")


def test_server_says_no(server, folder, tmp_path):
    archive = serve(server, b"")
    server.files.clear()
    with pytest.raises(UserError, match="the server says 404"):
        fetch([archive], tmp_path / "root")
    server.status = 503
    with pytest.raises(UserError, match="503"):
        fetch([archive], tmp_path / "root")


def test_too_little_room(server, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(UserError, match=r"0\.0 GB are free, but"):
        fetch([serve(server, packed(folder, "corpus"))], tmp_path / "root")
    assert not (tmp_path / "root/corpus.tgz").exists()


def test_folder_of_someone_else_is_left_alone(server, folder, tmp_path):
    (tmp_path / "root/corpus").mkdir(parents=True)
    with pytest.raises(UserError, match=r"no download of corpus\.tgz was completed"):
        fetch([serve(server, packed(folder, "corpus"))], tmp_path / "root")
    assert server.asked == []


def flip_the_middle(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1:]


@pytest.mark.parametrize("damage", [lambda content: content[: len(content) // 3], lambda content: content[:-9],
                                    flip_the_middle])
def test_broken_archive(server, folder, tmp_path, damage):
    """As it is served, too, so that its MD5 is right: gzip's own CRC finds what is wrong."""
    with pytest.raises(UserError, match="the archive is broken"):
        fetch([serve(server, damage(packed(folder, "corpus")))], tmp_path / "root")
    assert below(tmp_path / "root") == ["corpus.tgz"]


@pytest.mark.parametrize(("keys", "said"), [
    ({"size": 10}, "bytes, but 10 are expected; has the corpus changed"), ({"folder": "other"}, "has no folder other")])
def test_archive_of_something_else(server, folder, tmp_path, keys, said):
    with pytest.raises(UserError, match=said):
        fetch([serve(server, packed(folder, "corpus"), **keys)], tmp_path / "root")


@pytest.mark.parametrize(("name", "link"), [("../outside", ""), ("/tmp/outside-of-yinjie", ""),
                                            ("corpus/../../outside", ""), ("corpus/link", "../../../outside")])
def test_nothing_outside_is_written(server, tmp_path, name, link):
    raw, entry = io.BytesIO(), tarfile.TarInfo(name)
    if link:
        entry.type, entry.linkname = tarfile.SYMTYPE, link
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        tar.addfile(entry, io.BytesIO())
    with pytest.raises(UserError, match=r"not safe to extract|has no folder corpus"):
        fetch([serve(server, raw.getvalue())], tmp_path / "a/root")
    assert below(tmp_path) == ["a", "a/root", "a/root/corpus.tgz"] and not Path("/tmp/outside-of-yinjie").exists()


def test_killed_while_extracting(server, folder, tmp_path, monkeypatch):
    archive = serve(server, packed(folder, "corpus"))
    monkeypatch.setattr(download.os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        fetch([archive], tmp_path / "root")
    assert not (tmp_path / "root/corpus").exists()
    monkeypatch.undo()
    (tmp_path / "root/.extracting.corpus.tgz/corpus").mkdir(parents=True)  # as kill -9 leaves it
    fetch([archive], tmp_path / "root")
    assert below(tmp_path / "root") == WHOLE


def test_archives_inside_the_archive_and_stage_1_on_them(server, tmp_path):
    """AISHELL as it comes: one archive a speaker, inside one of all."""
    top = BUILDERS["aishell"](tmp_path / "made") / "data_aishell"
    for speaker in list(top.glob("wav/*/*")):
        name = speaker.relative_to(top / "wav")
        (top / "wav" / f"{speaker.name}.tar.gz").write_bytes(packed(speaker, str(name)))
    for name in ("train", "dev", "test"):
        subprocess.run(["rm", "-r", str(top / "wav" / name)], check=True)
    archive = serve(server, packed(top, "data_aishell"), folder="data_aishell", nested=local.aishell.ARCHIVES[0].nested)
    fetch([archive], tmp_path / "root")
    assert not list(tmp_path.glob("root/data_aishell/wav/*.tar.gz"))
    corpus = Corpus(module="aishell", root=str(tmp_path / "root"))
    sets = local.aishell.prepare(corpus, local.aishell.Options(skip=["untranscribed"]), tmp_path)
    assert {name: len(part) for name, part in sets.items()} == {"train": 6, "dev": 3, "test": 3}


def test_broken_archive_inside_the_archive(server, tmp_path):
    top = BUILDERS["aishell"](tmp_path / "made") / "data_aishell"
    (top / "wav/S0009.tar.gz").write_bytes(packed(top / "wav/dev", "dev")[:1000])
    archive = serve(server, packed(top, "data_aishell"), folder="data_aishell", nested="wav/*.tar.gz")
    with pytest.raises(UserError, match=r"S0009\.tar\.gz: the archive is broken"):
        fetch([archive], tmp_path / "root")
    assert below(tmp_path / "root") == ["corpus.tgz"]


def test_hash_of_a_tree_is_git_s(folder):
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "run").mkdir()
    (folder / "run" / "名字.mp3").write_bytes(b"1")

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    git("add", ".")
    assert tree_hash(folder) == git("write-tree")


def test_audio_cmn_refuses_other_files(folder):
    with pytest.raises(UserError, match="not those of that commit"):
        local.audio_cmn.check_tree(folder)


def test_an_archive_that_is_there_is_checked(tmp_path):
    """As a user has downloaded it, whole or not: it is never removed."""
    (tmp_path / "corpus.tar.gz").write_bytes(b"cut short")
    with pytest.raises(UserError, match=r"corpus\.tar\.gz: is there, but 9 bytes, but 100 are expected; move it away"):
        download.fetch(Archive("http://127.0.0.1:9/corpus.tar.gz", 100, None, "corpus"), tmp_path)
    with pytest.raises(UserError, match="is there, but its MD5 is"):
        download.fetch(Archive("http://127.0.0.1:9/corpus.tar.gz", 9, "0" * 32, "corpus"), tmp_path)
    assert (tmp_path / "corpus.tar.gz").exists()


def test_a_python_that_cannot_extract_safely_is_told_before_the_download(tmp_path, monkeypatch):
    monkeypatch.delattr(tarfile, "data_filter")
    with pytest.raises(UserError, match="cannot extract archives safely"):
        fetch_all([Archive("http://127.0.0.1:9/corpus.tar.gz", 100, None, "corpus")], tmp_path)
