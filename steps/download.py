"""Download a corpus into the folder that conf/corpora/<corpus>.yaml names, or go on with a download that stopped."""

import argparse
import hashlib
import http.client
import math
import os
import shutil
import sys
import tarfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from steps.common.errors import UserError, run
from steps.common.parallel import track
from steps.common.process import output_lock
from steps.config.load import load_corpus
from steps.corpus.find import load_module, module_options


def main() -> None:
    """Parse the command line and fetch the `ARCHIVES` of the corpus' module, or let its `download` do the work."""
    parser = argparse.ArgumentParser(prog="python -m steps.download", description=__doc__)
    parser.add_argument("corpus", help="a name in conf/corpora/")
    args = parser.parse_args()
    corpus = load_corpus(args.corpus)
    module = load_module(corpus.module)
    if not hasattr(module, "download") and not hasattr(module, "ARCHIVES"):
        raise UserError(f"{args.corpus}: there is nothing to download")
    if corpus.root is None:
        raise UserError(f"conf/corpora/{args.corpus}.yaml: root: missing; write the folder to download to")
    options = module_options(module, corpus, args.corpus)
    with output_lock(Path("data") / args.corpus, "download"):
        if hasattr(module, "download"):
            module.download(corpus, options)
        else:
            fetch_all(module.ARCHIVES, Path(corpus.root))


COMPLETE = ".complete"  # in an extracted folder: all of it is there
MIB = 2**20
ATTEMPTS = 10  # in a row that bring nothing new
TIMEOUT_S = 60.0
ROOM = 2.5  # bytes on the disk that a byte of an archive of speech becomes, nested archives counted
BROKEN = (tarfile.TarError, EOFError, OSError, zlib.error)


class Archive(NamedTuple):
    """One file of a corpus, and the folder that it is extracted to."""

    url: str
    size: int | None  # bytes; None: take what the server says
    md5: str | None  # None: if none is published
    folder: str  # the top-level folder in the archive
    nested: str = ""  # glob below the folder: archives in the archive, extracted where they lie and removed
    check: Callable[[Path], None] | None = None  # of the extracted folder; raises UserError

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[1]


def fetch_all(archives: Sequence[Archive], root: Path, pause_s: float = 5.0) -> None:
    """Download and extract each archive below `root` that is not there yet.

    An archive's folder appears with `.complete` in it, when all of it was extracted. Raises UserError for a download
    that does not go on, wrong bytes, a broken archive, too little room, or a folder of that name that is not ours.
    """
    if not hasattr(tarfile, "data_filter"):
        raise UserError(f"this Python {sys.version.split()[0]} cannot extract archives safely; take 3.10.12, 3.11.4 or "
                        f"a later one (YINJIE_PYTHON=… ./path.sh), or extract {archives[0].name} by hand")
    root.mkdir(parents=True, exist_ok=True)
    for archive in archives:
        folder = root / archive.folder
        if (folder / COMPLETE).exists():
            print(f"{folder}: complete")
            continue
        if folder.exists():
            raise UserError(f"{folder}: is there, though no download of {archive.name} was completed; if it is whole, "
                            f"nothing must be downloaded, else move it away")
        extract(archive, fetch(archive, root, pause_s), root)
        print(f"{folder}: downloaded and extracted")


def fetch(archive: Archive, root: Path, pause_s: float = 5.0) -> Path:
    """The archive's file below `root`, downloaded if it is not there, its size and MD5 checked."""
    path = root / archive.name
    if path.exists():
        wrong = _difference(archive, path)
        if wrong:
            raise UserError(f"{path}: is there, but {wrong}; move it away, and run again to download it")
    else:
        part = root / f"{archive.name}.part"
        _download(archive, part, pause_s)
        wrong = _difference(archive, part)
        if wrong:
            part.unlink()
            raise UserError(f"{archive.url}: {wrong}; what came is removed, run again to download it anew")
        os.replace(part, path)
    return path


def extract(archive: Archive, path: Path, root: Path) -> None:
    """Extract an archive and those inside it; nothing may point outside. Its folder appears last, and whole."""
    beside = root / f".extracting.{archive.name}"
    shutil.rmtree(beside, ignore_errors=True)
    try:
        _extract_one(path, beside)
        if not (beside / archive.folder).is_dir():
            raise UserError(f"{path}: has no folder {archive.folder}; is it the right archive?")
        nested = sorted((beside / archive.folder).glob(archive.nested)) if archive.nested else []
        for inner in track(nested, len(nested), "nested archives"):
            _extract_one(inner, inner.parent, quiet=True)
            inner.unlink()
        if archive.check:
            archive.check(beside / archive.folder)
        (beside / archive.folder / COMPLETE).touch()
        os.replace(beside / archive.folder, root / archive.folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _download(archive: Archive, part: Path, pause_s: float) -> None:
    failures = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            return _continue(archive, part)
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise UserError(f"{archive.url}: the server says {error.code} {error.reason}") from None
            reason = error
        except (OSError, http.client.HTTPException) as error:  # refused, reset, timed out, ended early
            reason = error
        came = part.exists() and part.stat().st_size > before
        failures = 0 if came else failures + 1
        if failures == ATTEMPTS:
            raise UserError(f"{archive.url}: {reason}; the {before} bytes that came are kept, run again to go on")
        print(f"{archive.name}: {reason}; going on in {pause_s:.0f} s")
        time.sleep(pause_s)


def _continue(archive: Archive, part: Path) -> None:
    """Append to `part` what is missing of it. Raises OSError or HTTPException if the connection breaks."""
    have = part.stat().st_size if part.exists() else 0
    if have and have == archive.size:
        return
    request = urllib.request.Request(archive.url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing lies behind what we have: all of it, or of another file
            return
        raise
    with response:
        if response.status != 206:  # a server that knows no ranges sends all
            have = 0
        length = response.headers["Content-Length"]
        total = have + int(length) if length else archive.size
        if archive.size and total != archive.size:
            raise UserError(f"{archive.url}: {total} bytes, but {archive.size} are expected; has the corpus changed?")
        if total:
            _check_room(part.parent, have, total)
        blocks = math.ceil((total - have) / MIB) if total else 0
        with open(part, "ab" if have else "wb") as file:
            for block in track(iter(lambda: response.read(MIB), b""), blocks, f"{archive.name}, MiB"):
                file.write(block)
    if total and part.stat().st_size < total:
        raise ConnectionError("the connection ended early")


def _check_room(folder: Path, have: int, total: int) -> None:
    free, wanted = shutil.disk_usage(folder).free, total - have + ROOM * total
    if free < wanted:
        raise UserError(f"{folder}: {free / 1e9:.1f} GB are free, but the archive and what is in it take about "
                        f"{wanted / 1e9:.1f} GB; free some, or let `root` be on another disk")


def _difference(archive: Archive, path: Path) -> str | None:
    """In what a file differs from what the archive should be, in words."""
    size = path.stat().st_size
    if archive.size not in (None, size):
        return f"{size} bytes, but {archive.size} are expected"
    md5 = _md5(path) if archive.md5 else None
    return f"its MD5 is {md5}, but {archive.md5} is expected" if md5 != archive.md5 else None


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        blocks = iter(lambda: file.read(MIB), b"")
        for block in track(blocks, math.ceil(path.stat().st_size / MIB), f"checking {path.name}, MiB"):
            digest.update(block)
    return digest.hexdigest()


def _extract_one(path: Path, folder: Path, quiet: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    members = _extract_members(path, folder)
    if not quiet:
        members = track(members, math.ceil(path.stat().st_size / MIB), f"extracting {path.name}, MiB")
    try:
        for _ in members:
            pass
    except tarfile.FilterError as error:
        raise UserError(f"{path}: not safe to extract: {error}") from None
    except BROKEN as error:
        if getattr(error, "errno", None):  # the disk's trouble, not the archive's
            raise UserError(f"{folder}: {error}") from None
        raise UserError(f"{path}: the archive is broken ({error}); remove it and run again") from None


def _extract_members(path: Path, folder: Path) -> Iterator[None]:
    """Extract everything, yielding once a MiB of the archive."""
    done = 0
    with open(path, "rb") as raw, tarfile.open(fileobj=raw, mode="r:*") as tar:
        for member in tar:
            tar.extract(member, folder, filter="data")
            while raw.tell() > done * MIB:
                done += 1
                yield
        while tar.fileobj.read(MIB):  # to the end of the stream, where gzip's checksum is
            pass


def tree_hash(folder: Path) -> str:
    """The SHA-1 that git gives a tree of these files, as `git rev-parse <commit>^{tree}` prints it."""
    entries = []
    for path in folder.iterdir():
        if path.name in (COMPLETE, ".git"):
            continue
        if path.is_dir():
            # git sorts a folder as if its name ended in a slash
            entries.append((path.name.encode() + b"/", b"40000", bytes.fromhex(tree_hash(path))))
        else:
            mode = b"100755" if path.stat().st_mode & 0o100 else b"100644"
            entries.append((path.name.encode(), mode, _object("blob", path.read_bytes())))
    listing = b"".join(mode + b" " + name.removesuffix(b"/") + b"\0" + digest for name, mode, digest in sorted(entries))
    return _object("tree", listing).hex()


def _object(kind: str, content: bytes) -> bytes:
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content, usedforsecurity=False).digest()


if __name__ == "__main__":
    run(main)
