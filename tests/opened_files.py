"""Which files of the project the stages open, by an audit hook, and which dodo.py declares for each of them."""

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

# In every process of a stage: notes each file below the current folder that Python opens, with the stage's command.
SITECUSTOMIZE = '''
import os, sys
_words = " ".join(sys.orig_argv[2:])
_log = os.environ.get("OPENED_LOG")
if _log and _words.startswith("steps."):
    _root = os.getcwd() + "/"
    _handle = os.open(_log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def _note(event, args):
        if event == "open" and isinstance(args[0], str):
            path = os.path.normpath(os.path.join(os.getcwd(), args[0]))
            if path.startswith(_root):
                writes = args[2] & (os.O_WRONLY | os.O_RDWR) if args[1] is None else args[1][:1] != "r"
                os.write(_handle, f"{_words}\\t{'w' if writes else 'r'}\\t{path[len(_root):]}\\n".encode())

    sys.addaudithook(_note)
'''
DECLARED = '''
import json, dodo
from doit.loader import load_tasks
from steps.tasks.record import directory
from steps.tasks.changes import fingerprints
for task in load_tasks(vars(dodo)):
    files = {str(path) for path in (*task.file_dep, *task.targets)}
    scripts = None
    for check, *_ in task.uptodate:
        files |= {str(path) for path in getattr(check, "paths", ())}
        files |= {str(path / name) for path in getattr(check, "set_dirs", ()) for name in ("wav.scp", "utt2audio")}
        if hasattr(check, "modules"):
            scripts = sorted(fingerprints(*check.modules))
    for action in task.actions:
        if hasattr(action, "words"):
            print(json.dumps({"task": task.name, "words": " ".join(action.words[2:]), "files": sorted(files),
                              "targets": task.targets, "scripts": scripts, "folder": str(directory(task.targets[0]))}))
'''


CHECKS = "SHA256SUMS", "pinyin.sha256", ".pinyin.sha256", "features.yaml"


def undeclared(folder: Path, log: Path) -> list[str]:
    """`<task>: <file>` for each file that a stage read and dodo.py does not declare for its task."""
    done = subprocess.run([sys.executable, "-c", DECLARED], cwd=folder, capture_output=True, text=True, check=True)
    tasks = [json.loads(line) for line in done.stdout.splitlines()]
    made = {target for task in tasks for target in task["targets"]}
    read, written = defaultdict(set), defaultdict(set)
    for line in log.read_text().splitlines():
        words, kind, path = line.split("\t")
        (written if kind == "w" else read)[words].add(path)
    assert len(read) >= 7, sorted(read)  # the stages were listened to
    found = []
    for task in tasks:
        for path in sorted(read[task["words"]] - written[task["words"]] - {*task["files"]}):
            own = Path(path).is_relative_to(task["folder"]) and path not in made
            if not own and not _is_allowed(path, task["scripts"]):
                found.append(f"{task['task']}: {path}")
    return found


def _is_allowed(path: str, scripts: list[str] | None) -> bool:
    """Configs count by what they say; of scripts, those of training and the foundations do not count.

    SHA256SUMS tells whether files are damaged, pinyin.sha256 whether people mended pinyin, which counts itself,
    features.yaml whether features are of the config, which counts. Audio counts by utt2audio. Features count for
    training by cmvn, to which every frame adds.
    """
    parts = Path(path).parts
    if parts[-1] in CHECKS or (scripts is None and parts[-1] == "feats.ark"):
        return True
    if path.endswith(".wav") or parts[0] == "conf" or not path.startswith(("data/", "exp/", "steps/", "local/")):
        return True
    if parts[0] in ("data", "exp"):
        return False
    if "__pycache__" in parts:
        path = str(Path(*parts[:-2], parts[-1].split(".")[0] + ".py"))
    return (scripts is None or path in scripts or not path.endswith(".py") or path.endswith("__init__.py")
            or path.startswith(("steps/common/", "steps/config/", "steps/tasks/")))
