"""The server: OpenAI's transcriptions, pronounce, a page. Sound is kept in a folder that is gone afterwards."""

import contextlib
import math
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import FastAPI, File, Form, HTTPException, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException as StarletteHTTPException

from steps.common.errors import UserError
from steps.deploy.assess import reading_aloud
from steps.deploy.formats import Transcript, srt, txt, vtt
from steps.deploy.limits import Gate, Limits, Workers, error_json
from steps.deploy.pronunciation import Judge, azure
from steps.deploy.recognizer import Recognizer
from steps.deploy.sound import open_sound

LONGEST_TEXT = 500  # characters
BLOCK = 1 << 16  # samples that are recognised between two looks at whether the client is there
NO_PAGE = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Yinjie</title></head><body>
<p>The server is at work: <a href="/docs">/docs</a>. There is no demo.html; export the experiment.</p></body></html>"""


class ErrorDetail(BaseModel):
    """The error that the server answers, in the fields of OpenAI's API."""

    message: str
    type: str
    param: str | None
    code: str | None


class Error(BaseModel):
    """An error as OpenAI's API writes it."""

    error: ErrorDetail


class Health(BaseModel):
    """The answer of /healthz: that the server is alive, and its model."""

    status: Literal["ok"]
    experiment: str


ERRORS = {code: {"model": Error, "description": what} for code, what in (
    (400, "the upload cannot be read"), (408, "it takes too long"), (413, "it is too large or too long"),
    (422, "a field is missing or wrong"), (429, "too many requests at once"))}


class Service:
    """The model and what it needs to answer requests. `folder` is where uploads are kept for the moment."""

    def __init__(self, exp_dir: Path, limits: Limits, folder: Path):
        self.recognizer = Recognizer(exp_dir)
        self.judge = Judge(self.recognizer.model)
        self.workers = Workers(limits)
        self._limits = limits
        self._folder = folder

    def transcribe(self, upload: UploadFile, check: Callable[[], None]) -> Transcript:
        """The transcription of a sound. Raises HTTPException for sound that is unreadable or too long."""
        samples = self._samples(upload, check)

        def blocks() -> Iterator[np.ndarray]:
            for begin in range(0, len(samples), BLOCK):
                check()
                yield samples[begin:begin + BLOCK]

        seconds = len(samples) / self.recognizer.model.features.sample_rate
        return Transcript("upload", seconds, list(self.recognizer.phrases(blocks())))

    def pronounce(self, upload: UploadFile, text: str, check: Callable[[], None]) -> dict[str, Any]:
        """How `text` was read. Raises HTTPException as `transcribe`, and UserError if the text does not fit."""
        reading = reading_aloud(text)
        recorded = self.judge.samples("upload", self._samples(upload, check), reading)
        return azure(recorded.assessment, self.judge.tokens)

    def _samples(self, upload: UploadFile, check: Callable[[], None]) -> np.ndarray:
        """The samples of an upload, by way of a file whose name is ours."""
        path, rate, longest_s = self._folder / uuid.uuid4().hex, self.judge.features.sample_rate, self._limits.sound_s
        too_long = HTTPException(413, f"the recording is longer than {longest_s:.0f} s; cut it into parts")
        try:
            with path.open("wb") as file:
                shutil.copyfileobj(upload.file, file)
            sound, blocks, samples = open_sound(path, rate), [], 0
            if sound.seconds is not None and sound.seconds > longest_s:
                raise too_long
            for block in sound.blocks:
                check()
                blocks.append(block)
                samples += len(block)
                if samples > longest_s * rate:
                    raise too_long
            return np.concatenate(blocks)
        except UserError as error:
            message = str(error).replace(f"{path}: ", "the upload: ").replace(str(path), "FILE")  # as in ffmpeg -i FILE
            raise HTTPException(400, message) from None
        finally:
            path.unlink(missing_ok=True)


def make_app(exp_dir: Path, limits: Limits) -> FastAPI:
    """The application of an experiment's directory. The model is loaded when the server starts."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        before = tempfile.tempdir
        with tempfile.TemporaryDirectory(prefix="yinjie-serve.") as folder:
            try:
                service = app.state.service = Service(exp_dir, limits, Path(folder))
            except UserError as error:
                app.state.wrong = error  # for who has started the server
                raise
            tempfile.tempdir = folder  # where uploads are spooled to
            try:
                yield
            finally:
                service.workers.close()
                tempfile.tempdir = before

    app = FastAPI(title="Yinjie", version="1", lifespan=lifespan, description="Mandarin speech to tonal pinyin.")
    app.add_middleware(Gate, limits=limits)
    _add_errors(app)
    _add_routes(app, exp_dir)
    return app


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(StarletteHTTPException)
    async def refused(request: Request, error: StarletteHTTPException) -> Response:
        headers = {**(error.headers or {}), **({"Connection": "close"} if error.status_code in (408, 413) else {})}
        return JSONResponse(error_json(str(error.detail)), error.status_code, headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors())
        return JSONResponse(error_json(wrong), 422)

    @app.exception_handler(UserError)
    async def mistaken(request: Request, error: UserError) -> Response:
        return JSONResponse(error_json(str(error)), 400)


Upload = Annotated[UploadFile, File(description="a recording: wav, flac, mp3, ogg, opus …")]


def _add_routes(app: FastAPI, exp_dir: Path) -> None:
    @app.get("/", response_class=HTMLResponse)
    async def page() -> Response:
        """The page that works without a server, if the experiment has been exported."""
        for folder in (exp_dir / "export", exp_dir):
            if (folder / "demo.html").exists():
                return FileResponse(folder / "demo.html", media_type="text/html")
        return HTMLResponse(NO_PAGE)

    @app.get("/healthz")
    async def health(request: Request) -> Health:
        """That the server is alive."""
        return Health(status="ok", experiment=request.app.state.service.recognizer.model.facts["experiment"])

    @app.post("/v1/audio/transcriptions", responses=ERRORS)
    async def transcriptions(
        request: Request, file: Upload,
        model: Annotated[str, Form(description="any: there is one")] = "yinjie",
        response_format: Annotated[Literal["json", "text", "srt", "vtt", "verbose_json"], Form()] = "json",
    ) -> Response:
        """As OpenAI's; the text is tonal pinyin. verbose_json has the times of each syllable, as `words`."""
        service: Service = request.app.state.service
        heard = await service.workers.run(request, lambda check: service.transcribe(file, check))
        if response_format in ("text", "srt", "vtt"):
            return PlainTextResponse({"text": txt, "srt": srt, "vtt": vtt}[response_format](heard))
        return JSONResponse(verbose_json(heard) if response_format == "verbose_json" else {"text": _text(heard)})

    @app.post("/pronounce", responses=ERRORS)
    async def pronounce(request: Request, file: Upload,
                        text: Annotated[str, Form(description="hanzi or pinyin", min_length=1,
                                                     max_length=LONGEST_TEXT)]) -> Response:
        """How a text was read aloud, with the fields of Azure's pronunciation assessment."""
        service: Service = request.app.state.service
        return JSONResponse(await service.workers.run(request, lambda check: service.pronounce(file, text, check)))


def verbose_json(heard: Transcript) -> dict[str, Any]:
    """OpenAI's verbose_json: a segment for each phrase, a word for each syllable, times in seconds."""
    return {
        "task": "transcribe",
        "language": "chinese",
        "duration": round(heard.seconds, 3),
        "text": _text(heard),
        "segments": [{
            "id": number, "seek": 0, "start": round(phrase.begin, 3), "end": round(phrase.end, 3),
            "text": " ".join(one.syllable for one in phrase.syllables),
            "avg_logprob": float(np.mean([math.log(max(one.confidence, 1e-10)) for one in phrase.syllables])),
        } for number, phrase in enumerate(heard.phrases)],
        "words": [{"word": one.syllable, "start": round(one.begin, 3), "end": round(one.begin + one.duration, 3),
                   "confidence": round(one.confidence, 4)} for phrase in heard.phrases for one in phrase.syllables],
    }


def _text(heard: Transcript) -> str:
    return " ".join(one.syllable for phrase in heard.phrases for one in phrase.syllables)
