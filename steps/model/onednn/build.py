"""Builds the library of oneDNN kernels (`python -m steps.model.onednn.build`), and knows whether it is there.

The library's name holds a hash of all that it was made from: a changed source, another MindSpore or another processor
never meets an old library, and an environment shared by several machines holds one for each. Needs g++.
"""

import argparse
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

from steps.common.errors import UserError, run
from steps.common.files import atomic_path

SOURCES = Path(__file__).parent
# oneDNN 3.9's C and C++ headers, nothing else of Intel's: MindSpore ships the library itself (2.10: oneDNN 3.10.1).
HEADERS = "onednn-devel==2025.3.0 --hash=sha256:3897b4ae65f09e289c10eef98455de069b08b5ac670a34921d406018362f5c95"
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fopenmp-simd", "-pthread", "-fno-math-errno", "-fno-trapping-math",
         "-fPIC", "-shared", "-Wall", "-Wextra", "-Wno-psabi", "-Wl,-z,nodelete",
         "-Wl,-z,defs")


def available() -> str | None:
    """The built library's path; None if it is not built, or cannot be (see `reason`)."""
    if _unsupported() or not library_path().is_file():
        return None
    return str(library_path())


def reason() -> str:
    """Why `available()` is None, in words for a log."""
    if _unsupported():
        return _unsupported()
    failed = f" (the last attempt failed: {_failure().read_text(encoding='utf-8')})" if _failure().exists() else ""
    return f"{library_path()} is not built{failed}; run: python -m steps.model.onednn.build"


def _failure() -> Path:
    """Where the reason is kept for which the library could not be built."""
    return library_path().with_suffix(".failed")


def has_bfloat16() -> bool:
    """Whether the processor computes with bfloat16; oneDNN would emulate it, slowly."""
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(_instructions().split())


def library_path() -> Path:
    """Where the library belongs that fits these sources, this MindSpore and this processor."""
    return Path(sysconfig.get_path("data")) / "lib" / "yinjie" / f"libyinjie_onednn-{_fingerprint()}.so"


def build() -> Path:
    """Compile the library. Raises UserError if this machine cannot, or g++ or the package index fails."""
    if _unsupported():
        raise UserError(f"the oneDNN kernels: {_unsupported()}; stock operators will be used")
    if shutil.which("g++") is None:
        raise UserError("the oneDNN kernels need g++ (Debian, Ubuntu: apt install g++); stock operators will be used")
    onednn = _mindspore_lib() / "libdnnl.so.3"
    sources = sorted(str(path) for path in SOURCES.glob("*.cpp"))
    with tempfile.TemporaryDirectory() as folder:
        include = _fetch_headers(Path(folder))
        with atomic_path(library_path()) as library:
            _call(["g++", *FLAGS, "-I", str(include), *sources, "-o", str(library), str(onednn),
                   f"-Wl,-rpath,{onednn.parent}"], "compiling")
    return library_path()


def _fetch_headers(folder: Path) -> Path:
    """oneDNN's headers, pinned by hash. The wheel depends on all of Intel's runtimes, so it is only unpacked."""
    (folder / "headers.txt").write_text(HEADERS, encoding="utf-8")
    _call([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
           "--only-binary", ":all:", "--require-hashes", "-r", str(folder / "headers.txt"), "-d", str(folder)],
          "downloading oneDNN's headers")
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder)
    include = next(folder.glob("*/data/include/oneapi")).parent
    _set_runtime(include / "oneapi" / "dnnl" / "dnnl_config.h")
    return include


def _set_runtime(config: Path) -> None:
    """The wheel's headers describe Intel's build; MindSpore's has the thread pool interface, and no GPU."""
    text = config.read_text(encoding="utf-8")
    for name, runtime in (("CPU", "THREADPOOL"), ("CPU_THREADING", "THREADPOOL"), ("GPU", "NONE")):
        text, count = re.subn(rf"(#define DNNL_{name}_RUNTIME) .*", rf"\1 DNNL_RUNTIME_{runtime}", text)
        if count != 1:
            raise UserError(f"the oneDNN kernels: {config.name} does not define DNNL_{name}_RUNTIME once")
    config.write_text(text, encoding="utf-8")


def _call(command: list[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise UserError(f"the oneDNN kernels: {what} failed; stock operators will be used\n"
                        f"{done.stderr.strip()[-2000:]}")


def _unsupported() -> str | None:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return f"made for Linux on x86-64, this is {platform.system()} on {platform.machine()}"
    if importlib.util.find_spec("mindspore") is None:
        return "MindSpore is not installed"
    if not (_mindspore_lib() / "libdnnl.so.3").is_file():
        return "this MindSpore does not ship libdnnl.so.3"
    return None


def _mindspore_lib() -> Path:
    return Path(importlib.util.find_spec("mindspore").origin).parent / "lib"


def _fingerprint() -> str:
    digest = hashlib.sha256(" ".join([*FLAGS, HEADERS]).encode())
    for path in sorted([*SOURCES.glob("*.cpp"), *SOURCES.glob("*.h")]):
        digest.update(path.name.encode() + path.read_bytes())
    digest.update(importlib.metadata.version("mindspore").encode())
    digest.update(_instructions().encode())
    return digest.hexdigest()[:16]


def _instructions() -> str:
    """The processor's instruction sets, which -march=native compiles for."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("flags"):
            return " ".join(sorted(line.split(":", 1)[1].split()))
    return ""


def build_once() -> None:
    """Build the library, unless it is there or an attempt has failed. Raises UserError if this attempt fails."""
    if available() or _unsupported() or shutil.which("g++") is None:
        return
    library_path().parent.mkdir(parents=True, exist_ok=True)
    with open(library_path().with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of several at once, one builds
        if available():
            return
        if _failure().exists():
            print(f"the oneDNN kernels: {reason()}", file=sys.stderr)
            return
        print("compiling the oneDNN kernels for training (half a minute, once)", file=sys.stderr)
        try:
            build()
        except UserError as error:
            _failure().write_text(str(error).splitlines()[0], encoding="utf-8")
            raise


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m steps.model.onednn.build", description=__doc__)
    parser.add_argument("--once", action="store_true", help="do not try again what has failed; as path.sh calls it")
    if parser.parse_args().once:
        build_once()
        return
    print(f"{library_path()} is there" if available() else f"built {build()}")
    _failure().unlink(missing_ok=True)


if __name__ == "__main__":
    run(main)
