"""Kaldi data directories that exist already: `<root>/<set>/{wav.scp,text}`, and what else of Kaldi's they have.

utt2spk may be absent (each utterance is a speaker of its own then), and so may spk2utt; `pinyin` is taken if it is
there. A relative path in wav.scp starts from `base`, in Kaldi the folder of the recipe that wrote it. Utterances that
`segments` cuts from longer recordings, and recordings that a command makes (`sox … |`), become files in
data/<corpus>/cut/<set>/, since stage 3 reads files. Commands are run only if `allow_pipes` says so, or stage 1's
--allow-pipes: a wav.scp from somewhere else could run anything.
"""

import os
import subprocess
import sys
from pathlib import Path

import soundfile

from steps.common.errors import UserError
from steps.common.files import atomic_path
from steps.common.parallel import track
from steps.config.schema import Corpus, Strict
from steps.corpus.audio import open_audio
from steps.corpus.find import named_root
from steps.corpus.table import read_table, refuse
from steps.corpus.validate import speaker_order_fault, table_faults
from steps.corpus.write import Utterance, speakers_of

OVERSHOOT_S = 0.5  # that a segment may end after its recording, as in Kaldi's extract-segments


class Options(Strict):
    """`options:` of a corpus of this kind."""

    base: str | None = None  # what relative paths in wav.scp start from; unset: the folder that stage 1 runs in
    allow_pipes: bool = False  # run the commands that wav.scp holds


def prepare(corpus: Corpus, options: Options, data_dir: Path) -> dict[str, list[Utterance]]:
    """The sets that the config names, each a folder of `root`."""
    root = named_root(corpus, "the folder that holds the data directories")
    return {name: read_set(root / name, options, data_dir / "cut" / name) for name in corpus.sets}


def read_set(folder: Path, options: Options, cut_dir: Path) -> list[Utterance]:
    """The utterances of one directory. Raises UserError if it breaks Kaldi's rules."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such directory")
    tables = {name: read_table(folder / name) for name in ("text", "pinyin", "utt2spk", "spk2utt", "segments")
              if (folder / name).exists()}
    wavs = recordings(folder, options, cut_dir)
    if "segments" in tables:
        wavs = cut_all(folder / "segments", tables.pop("segments"), wavs, cut_dir)
    tables["wav.scp"] = wavs
    tables.setdefault("utt2spk", {utt: utt for utt in wavs})
    tables.setdefault("spk2utt", speakers_of(tables["utt2spk"]))
    disordered = speaker_order_fault(tables["utt2spk"])
    faults = [fault for fault in table_faults(folder, tables) if not disordered or disordered not in fault]
    if faults:
        raise UserError(f"{folder} is not a valid data directory:\n  " + "\n  ".join(faults))
    if disordered:
        print(f"{folder}: ids are written as <speaker>-<utterance>, so that they sort as their speakers do",
              file=sys.stderr)
    texts, pinyin = tables.get("text", {}), tables.get("pinyin", {})
    return [Utterance(f"{spk}-{utt}" if disordered else utt, spk, wavs[utt], texts.get(utt, ""), pinyin.get(utt))
            for utt, spk in tables["utt2spk"].items()]


def recordings(folder: Path, options: Options, cut_dir: Path) -> dict[str, str]:
    """{id: audio file} of wav.scp; the output of commands is written to `cut_dir`."""
    base, found = options.base or "", {}
    table = read_table(folder / "wav.scp")
    commands = {key for key, value in table.items() if value.endswith("|")}
    if commands and not options.allow_pipes:
        first = min(commands)
        raise UserError(f"{folder / 'wav.scp'}: {first}: a command ({table[first]}); {len(commands)} of {len(table)} "
                        f"are. A command may do whatever you may, so none is run unless you ask for it. If you know "
                        f"where this file comes from: python -m steps.stage1_prepare {cut_dir.parents[1].name} "
                        f"--allow-pipes; for doit, `options: {{allow_pipes: true}}` in conf/corpora/. Else name files")
    for key in track(table, len(table), f"{folder / 'wav.scp'}") if commands else table:
        if key in commands:
            found[key] = str(cut_file(cut_dir, key))
            run_command(f"{folder / 'wav.scp'}: {key}", table[key][:-1], base or None, Path(found[key]))
        else:
            found[key] = os.path.join(base, table[key])
    return found


def cut_file(cut_dir: Path, utt: str) -> Path:
    """The file of an utterance; an id may hold slashes, and must not lead out of the folder."""
    return cut_dir / f"{utt.replace('%', '%25').replace('/', '%2F')}.wav"


def run_command(where: str, command: str, folder: str | None, target: Path) -> None:
    """Write what a shell command prints to `target`. Raises UserError if it fails."""
    with atomic_path(target) as beside, open(beside, "wb") as file:
        done = subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=folder, stdout=file,
                              stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()[-300:]
            raise UserError(f"{where}: `{command.strip()}` ended with status {done.returncode}: {said}")


def cut_all(path: Path, segments: dict[str, str], wavs: dict[str, str], cut_dir: Path) -> dict[str, str]:
    """Cut the utterances of `segments`, lines `<utterance> <recording> <begin> <end>` in seconds, and give their files.
    """
    faults, cut = [], {}
    for utt, line in track(segments.items(), len(segments), f"{path}"):
        try:
            recording, begin, end, channel, *_ = [*line.split(), "-1"]
            if recording not in wavs:
                raise UserError(f"there is no recording {recording} in wav.scp")
            cut[utt] = str(cut_file(cut_dir, utt))
            cut_one(wavs[recording], float(begin), float(end), Path(cut[utt]), int(channel))
        except ValueError:
            faults.append(f"{path}: {utt}: recording, begin and end in seconds are wanted, and perhaps a channel's "
                          f"number, from 0, not {line!r}")
        except UserError as error:
            faults.append(f"{path}: {utt}: {error}")
    refuse(faults)
    return cut


def cut_one(wav: str, begin: float, end: float, target: Path, channel: int = -1) -> None:
    """Write the part of a recording between two times in seconds; an `end` of -1 means its end, a `channel` of -1 all.
    """
    with open_audio(wav) as file:
        seconds = file.frames / file.samplerate
        end = seconds if end == -1 else end
        if not 0 <= begin < end <= seconds + OVERSHOOT_S or begin >= seconds:
            raise UserError(f"{begin} to {end} s is not a part of {wav}, which lasts {seconds:.3f} s")
        if not -1 <= channel < file.channels:
            raise UserError(f"{wav} has {file.channels} channels, and none of the number {channel}")
        first = round(begin * file.samplerate)
        file.seek(first)
        samples = file.read(round(end * file.samplerate) - first, dtype="int32", always_2d=True)
        samples = samples if channel == -1 else samples[:, channel]
        rate, subtype = file.samplerate, "PCM_16" if file.subtype == "PCM_16" else "PCM_24"
    with atomic_path(target) as beside:
        soundfile.write(beside, samples, rate, format="WAV", subtype=subtype)
