"""The server: its API, its limits, and what it leaves behind."""

import asyncio
import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import httpx
import pytest
import soundfile
import uvicorn
from fastapi.testclient import TestClient

from steps import serve
from steps.common.errors import UserError
from steps.deploy.limits import Limits
from steps.deploy.server import make_app
from tests.commands import wait_until
from tests.test_demo import voice
from tests.test_pronounce import TwoSyllables


class SlowModel(TwoSyllables):
    """Says ni3 hao3 whatever it hears."""

    facts = {"experiment": "small", "spike_place": 0.5}
    frame_shift_s, left_context, right_context = 0.04, 0, 0
    delay_s = 0.0

    def one(self, feats):
        time.sleep(self.delay_s)
        return super().one(feats)


@pytest.fixture
def model(monkeypatch):
    made = SlowModel()
    monkeypatch.setattr("steps.deploy.recognizer.load_model", lambda exp_dir: made)
    return made


@pytest.fixture
def client(model, tmp_path):
    with TestClient(make_app(tmp_path, Limits(sound_s=5.0)), raise_server_exceptions=False) as made:
        yield made


def wav(seconds=1.0, rate=16000) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, voice(seconds), rate, format="WAV")
    return file.getvalue()


def transcribe(client, content, **fields):
    return client.post("/v1/audio/transcriptions", files={"file": ("a.wav", content)}, data=fields)


def test_transcriptions_in_every_format(client):
    assert transcribe(client, wav(), model="whisper-1").json() == {"text": "ni3 hao3"}
    assert transcribe(client, wav(), response_format="text", language="zh", temperature="0").text == "ni3 hao3\n"
    assert "00:00:00" in transcribe(client, wav(), response_format="srt").text
    assert transcribe(client, wav(), response_format="vtt").text.startswith("WEBVTT")
    verbose = transcribe(client, wav(), response_format="verbose_json").json()
    assert verbose["duration"] == pytest.approx(1.0)
    assert [one["word"] for one in verbose["words"]] == ["ni3", "hao3"]
    assert verbose["words"][0]["end"] <= verbose["words"][1]["start"] + 1e-6
    assert [one["text"] for one in verbose["segments"]] == ["ni3 hao3"]


def test_pronounce(client):
    answer = client.post("/pronounce", files={"file": ("a.wav", wav())}, data={"text": "你好吗"})
    best = answer.json()["NBest"][0]
    assert [word["PronunciationAssessment"]["ErrorType"] for word in best["Words"]] == ["None", "Omission"]
    wrong = client.post("/pronounce", files={"file": ("a.wav", wav())}, data={"text": "中国"})
    assert wrong.status_code == 400 and "does not know zhong1" in wrong.json()["error"]["message"]


def test_health_page_and_openapi(client, tmp_path):
    assert client.get("/healthz").json() == {"status": "ok", "experiment": "small"}
    assert "no demo.html" in client.get("/").text
    (tmp_path / "export").mkdir()
    (tmp_path / "export/demo.html").write_text("the page")
    assert client.get("/").text == "the page"
    assert {"/v1/audio/transcriptions", "/pronounce", "/healthz"} <= set(client.get("/openapi.json").json()["paths"])


@pytest.mark.parametrize("content,code,words", [
    (b"", 400, "the upload: the file is empty"), (b"no sound at all" * 99, 400, "the upload: not readable"),
    (b"fLaC" + bytes(99), 400, "ffmpeg -i FILE FILE.wav"),
    (wav()[:9000], 400, "the upload: cut short"), (wav(8.0), 413, "longer than 5 s"),
    (wav(0.01), 400, "shorter than a frame"),
])
def test_bad_sound_is_refused_and_no_path_is_told(client, content, code, words):
    answer = transcribe(client, content)
    message = answer.json()["error"]["message"]
    assert (answer.status_code, words in message) == (code, True), message
    assert tempfile.gettempdir() not in message


@pytest.mark.parametrize("body,kind", [
    (b"", "multipart/form-data; boundary=x"), (b"--x\r\nbroken", "multipart/form-data; boundary=x"),
    (b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nab', "multipart/form-data; boundary=x"),
    (b"abc", "multipart/form-data"), (b"{}", "application/json"), (b"\xff\xfe", "text/plain"),
    (b"--x\r\n\r\n\r\n--x--\r\n", "multipart/form-data; boundary=x"),
    (b"file=abc", "application/x-www-form-urlencoded"),
])
def test_malformed_requests_are_the_clients_errors(client, body, kind):
    answer = client.post("/v1/audio/transcriptions", content=body, headers={"Content-Type": kind})
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]["message"]


def test_a_clients_file_name_is_never_a_path(client, tmp_path):
    for name in ("../../../etc/passwd", "/etc/passwd", str(tmp_path / "x.wav"), "a\0b", "-"):
        answer = client.post("/v1/audio/transcriptions", files={"file": (name, wav())})
        assert answer.status_code in (200, 400)
    assert not (tmp_path / "x.wav").exists()
    missing = client.post("/pronounce", files={"file": ("a.wav", wav())}, data={"text": "x" * 501})
    assert missing.status_code == 422


def test_the_temporary_folder_is_gone_afterwards(model, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with TestClient(make_app(tmp_path, Limits())) as client:
        [folder] = tmp_path.glob("yinjie-serve.*")
        assert transcribe(client, wav(30.0)).status_code == 200
        assert list(folder.iterdir()) == []
        assert transcribe(client, b"RIFF" + bytes(2 << 20)).status_code == 400
        assert list(folder.iterdir()) == []
    assert list(tmp_path.glob("yinjie-serve.*")) == []
    assert tempfile.tempdir == str(tmp_path)


# ---- a real server on loopback ----


@contextlib.contextmanager
def serving(app):
    """The address of a server at work."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error")
    made = uvicorn.Server(config)
    thread = threading.Thread(target=made.run)
    thread.start()
    while not made.started:
        time.sleep(0.01)
    try:
        port = made.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        made.should_exit = True
        thread.join()


async def upload_many(address, count, content):
    async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=None)) as client:
        sent = [client.post(f"{address}/v1/audio/transcriptions", files={"file": ("a.wav", content)})
                for _ in range(count)]
        health = client.get(f"{address}/healthz")
        *answers, alive = await asyncio.gather(*sent, health)
    return [answer.status_code for answer in answers], alive.status_code


def test_a_hundred_uploads_at_once(model, tmp_path):
    model.delay_s = 0.02
    with serving(make_app(tmp_path, Limits(workers=2, waiting=8))) as address:
        codes, alive = asyncio.run(upload_many(address, 100, wav()))
        assert alive == 200
        assert set(codes) == {200, 429}
        assert codes.count(200) >= 10
        codes, _ = asyncio.run(upload_many(address, 5, wav()))
        assert codes == [200] * 5


def test_with_room_for_all_a_hundred_uploads_succeed(model, tmp_path):
    with serving(make_app(tmp_path, Limits(workers=2, waiting=98))) as address:
        codes, _ = asyncio.run(upload_many(address, 100, wav(0.3)))
        assert codes == [200] * 100


def head(length):
    return (f"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n"
            "Content-Type: multipart/form-data; boundary=x\r\n\r\n").encode()


def body(content):
    disposition = b'Content-Disposition: form-data; name="file"; filename="a.wav"'
    return b"--x\r\n" + disposition + b"\r\n\r\n" + content + b"\r\n--x--\r\n"


def connect(address):
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


@pytest.mark.parametrize("sent", [None, 1000], ids=["computing", "uploading"])
def test_a_client_that_goes_frees_its_place(model, tmp_path, sent):
    model.delay_s = 2.0
    content = body(wav())
    with serving(make_app(tmp_path, Limits(workers=1, waiting=0))) as address:

        def full():
            return httpx.post(f"{address}/pronounce", timeout=20).status_code == 429

        with connect(address) as gone:
            gone.sendall(head(len(content)) + content[:sent])
            wait_until(full)
        model.delay_s = 0.0
        wait_until(lambda: not full())
        answer = httpx.post(f"{address}/v1/audio/transcriptions", files={"file": ("a.wav", wav())}, timeout=20)
        assert answer.json() == {"text": "ni3 hao3"}


def test_slow_and_large_uploads_are_cut_off(model, tmp_path):
    with serving(make_app(tmp_path, Limits(upload_s=0.4, upload_bytes=50_000, work_s=0.4))) as address:
        with connect(address) as slow:
            slow.sendall(head(1000) + b"--x\r\n")
            assert b" 408 " in slow.recv(1000)
        with connect(address) as large:
            large.sendall(head(60_000))
            assert b" 413 " in large.recv(1000)
        with connect(address) as unsaid:
            unsaid.sendall(head(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked"))
            with contextlib.suppress(OSError):
                part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
                for content in (part, *[b"a" * 0x2000] * 20):
                    unsaid.sendall(b"%x\r\n%b\r\n" % (len(content), content))
            assert b" 413 " in unsaid.recv(1000)
        model.delay_s = 1.0
        answer = httpx.post(f"{address}/v1/audio/transcriptions", files={"file": ("a.wav", wav(0.5))}, timeout=20)
        assert answer.status_code == 408


@pytest.mark.parametrize("waiting,code", [(8, b" 413 "), (-2, b" 429 ")], ids=["too large", "too many"])
def test_a_client_that_sends_all_before_it_reads_sees_the_answer(model, tmp_path, waiting, code):
    """With bytes still under way, a connection that is closed is reset, and the answer with it."""
    content = body(bytes(20 << 20))
    app = make_app(tmp_path, Limits(upload_bytes=50_000, workers=2, waiting=waiting))
    with serving(app) as address, connect(address) as large:
        large.sendall(head(len(content)) + content)
        assert code in large.recv(1000)


# ---- the command ----


def test_a_model_that_is_damaged_is_one_line(tmp_path, monkeypatch, caplog):
    (tmp_path / "export.json").write_text("half")
    monkeypatch.setattr(sys, "argv", ["serve", str(tmp_path), "--port", "0"])
    with pytest.raises(UserError, match=r"export\.json: not readable as JSON"):
        serve.main()
    assert not caplog.records


def test_the_command_serves_on_loopback_until_it_is_stopped(tmp_path):
    (tmp_path / "final.ckpt").touch()
    program = (f"import sys; sys.argv = ['serve', {str(tmp_path)!r}, '--port', '0']\n"
               "from tests.test_serve import SlowModel\nimport steps.deploy.recognizer as recognizer\n"
               "recognizer.load_model = lambda exp_dir: SlowModel()\n"
               "from steps.common.errors import run\nfrom steps.serve import main\nrun(main)")
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env={**os.environ, "TMPDIR": str(tmp_path)}, text=True)
    address = process.stdout.readline().split()[0]
    try:
        assert httpx.get(f"{address}/healthz", timeout=60).status_code == 200  # the port's number is told, not 0
        foreign = httpx.get(f"{address}/healthz", headers={"Host": "page.example"}, timeout=60)
        assert foreign.status_code == 400  # another site's page has had its name point here
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert address.startswith("http://127.0.0.1:") and '"GET /healthz HTTP/1.1" 200' in out
    assert "Traceback" not in err and "INFO" not in err
    assert list(tmp_path.glob("yinjie-serve.*")) == []
