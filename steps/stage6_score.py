"""Stage 6: compare what was decoded with the reference pinyin, syllable by syllable."""

import argparse
from pathlib import Path
from typing import Any

from steps.common.checksums import AGAIN, check_sums
from steps.common.errors import UserError, run
from steps.common.files import read_json, sha256
from steps.common.process import output_lock
from steps.config.load import load_resolved, set_argument, set_file
from steps.corpus.table import read_table
from steps.corpus.write import read_pinyin
from steps.report.errors import check_same_utterances, edit_alignment
from steps.report.scores import character_rates, error_rates, read_hypotheses, write_scores

# What scoring needs of decode.json.
NOTED = {"skipped": list, "real_time_factor": (int, float), "tokens_hash": str, "checkpoint_hash": str}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m steps.stage6_score", description=__doc__)
    parser.add_argument("exp_dir", type=Path, help="an experiment's directory, such as exp/mini")
    parser.add_argument("set", type=set_argument, help="a decoded set, such as test, or data/<corpus>/<set>")
    parser.add_argument("--method", default="greedy", help="what it was decoded with")
    args = parser.parse_args()
    data_dir = load_resolved(args.exp_dir).set_data(args.set)
    with output_lock(args.exp_dir, f"score.{set_file(args.set)}"):
        score(args, data_dir)


def score(args: argparse.Namespace, data_dir: Path) -> None:
    """Count the errors of a decoded set against the pinyin in `data_dir` and write them."""
    decode_dir = args.exp_dir / "decode" / f"{set_file(args.set)}_{args.method}"
    score_dir = args.exp_dir / "score" / decode_dir.name
    check_sums(decode_dir, AGAIN.format("5 (decode)"))
    hyps = read_hypotheses(decode_dir / "pinyin")
    decoding = read_decode_json(decode_dir / "decode.json")
    check_sums(data_dir, AGAIN.format("1 (prepare)"), ["utt2spk"])
    refs, utt2spk = read_pinyin(data_dir / "pinyin"), read_table(data_dir / "utt2spk")
    unread = [hyps.pop(utt) for utt in utt2spk.keys() - refs.keys() if utt in hyps]
    if unread:
        print(f"{data_dir / 'pinyin'}: {len(unread)} decoded utterances are not in it (stage 2 left them out) and have "
              "no part in the scores")
    skipped = [refs.pop(utt) for utt in decoding["skipped"] if utt in refs]
    check_same_utterances(refs, hyps, f"{data_dir / 'pinyin'}", f"{decode_dir / 'pinyin'}")

    hanzi = {}
    if (decode_dir / "text").exists() and (data_dir / "text").exists():
        words = {utt: " ".join(found) for utt, found in read_hypotheses(decode_dir / "text").items()}
        texts = read_table(data_dir / "text")
        hanzi = character_rates({utt: texts[utt] for utt in refs if utt in texts}, refs, words, hyps)

    alignments = {utt: edit_alignment(refs[utt], hyps[utt]) for utt in sorted(refs)}
    scores = {"set": args.set, "method": args.method, **error_rates(refs, hyps, alignments), **hanzi,
              "skipped": len(skipped),
              "unread": len(unread),
              "real_time_factor": decoding["real_time_factor"],
              "ref_hash": sha256(data_dir / "pinyin"),
              "tokens_hash": decoding["tokens_hash"],
              "checkpoint_hash": decoding["checkpoint_hash"]}
    write_scores(score_dir, alignments, utt2spk, scores)


def read_decode_json(path: Path) -> dict[str, Any]:
    """What stage 5 noted beside its result. Raises UserError if it is missing or lacks something."""
    noted = read_json(path, "; run stage 5 (decode) first", "decode again")
    lacking = [key for key, kind in NOTED.items() if not isinstance(noted.get(key), kind)]
    if lacking:
        raise UserError(f"{path}: {', '.join(lacking)}: not there, or of another kind; decode again")
    return noted


if __name__ == "__main__":
    run(main)
