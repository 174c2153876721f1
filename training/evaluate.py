"""Measure cortex-nano: on the drawn cases, or with `--hand` on the pictures of other tools."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from training.evaluation.cases import Case, blanked, evaluation_cases
from training.evaluation.documents import document_cases
from training.evaluation.examples import choose_examples, draw_examples
from training.evaluation.hand import hand_cases
from training.evaluation.report import (
    as_json,
    judge,
    render,
    render_answers,
    render_speed,
    render_wrong,
)
from training.evaluation.speed import first_tokens
from training.reader import Reader

NANO_FOLDER = Path(__file__).parents[1] / "engine" / "assets" / "cortex-nano"


def main() -> None:
    args = _parser().parse_args()
    torch.set_num_threads(args.threads)
    reader = Reader(args.model, args.device)

    def answer(case: Case) -> str:
        return reader.reply(case.pngs, case.question, case.earlier, case.tools)

    if args.hand:
        names, cases = zip(*hand_cases(), strict=True)
        verdicts, empty = judge(cases, answer), ()
        print(render_answers(names, verdicts))
    else:
        print(render_speed(first_tokens(reader, time.monotonic)), flush=True)
        started_s = time.monotonic()
        cases = [*evaluation_cases(), *document_cases()]
        asked = [case for case in cases if reader.takes_tools or not case.tools]
        num_without = len(cases) - len(asked)
        asked = asked[:: max(1, len(asked) // (args.limit or len(asked)))]
        verdicts = judge(asked, answer)
        empty = judge(blanked(asked), answer)
        print(f"\n{render(verdicts, empty)}")
        print(f"\n{len(asked)} cases in {time.monotonic() - started_s:.0f} s on {args.device}")
        if num_without:
            print(f"{num_without} cases left out: the model's template has no tools")
    if args.wrong:
        print(render_wrong(verdicts))
    if args.json:
        args.json.write_text(as_json(verdicts, empty, hand=args.hand), encoding="utf-8")
    if args.examples:
        draw_examples(choose_examples(verdicts)).save(args.examples, optimize=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=NANO_FOLDER)
    parser.add_argument("--hand", action="store_true", help="the hand set, answer by answer")
    parser.add_argument("--limit", type=int, help="only so many of the cases, spread over all")
    parser.add_argument("--wrong", action="store_true", help="list the wrong answers too")
    parser.add_argument("--json", type=Path, metavar="OUT", help="figures and answers as JSON")
    parser.add_argument("--examples", type=Path, metavar="OUT", help="some answers as a picture")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=2)
    return parser


if __name__ == "__main__":
    main()
