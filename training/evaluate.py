"""Measure cortex-nano: on its 400 cases, with `--hand` on the pictures of other tools, with
`--documents` on whole pages.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

from training.evaluation.cases import blanked, evaluation_cases
from training.evaluation.documents import (
    document_cases,
    judge_documents,
    render_documents,
)
from training.evaluation.hand import hand_cases
from training.evaluation.report import judge, render, render_answers
from training.evaluation.score import score
from training.reader import Reader

NANO_FOLDER = Path(__file__).parents[1] / "engine" / "assets" / "cortex-nano"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=NANO_FOLDER)
    parser.add_argument("--hand", action="store_true", help="the hand set, answer by answer")
    parser.add_argument("--documents", action="store_true", help="the questions about documents")
    parser.add_argument("--limit", type=int, help="only so many of the cases, spread over all")
    parser.add_argument("--wrong", action="store_true", help="list the wrong answers too")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    reader = Reader(args.model, args.device)
    if args.hand:
        names, cases = zip(*hand_cases(), strict=True)
        print(render_answers(names, judge(cases, reader.answer)))
        return
    started_s = time.monotonic()
    if args.documents:
        pages = [*document_cases()]
        if args.limit:
            pages = pages[:: max(1, len(pages) // args.limit)]
        shares = judge_documents(pages, lambda c: reader.reply(c.pngs, c.earlier, c.question))
        print(render_documents(shares))
        print(f"\n{len(pages)} cases in {time.monotonic() - started_s:.0f} s on {args.device}")
        return
    cases = evaluation_cases()
    if args.limit:
        cases = cases[:: max(1, len(cases) // args.limit)]
    verdicts = judge(cases, reader.answer)
    print(render(score(verdicts, judge(blanked(cases), reader.answer))))
    print(f"\n{len(cases)} cases in {time.monotonic() - started_s:.0f} s on {args.device}")
    if args.wrong:
        for verdict in (v for v in verdicts if not v.right):
            case = verdict.case
            print(json.dumps([case.task, case.question, case.answer, verdict.given]))


if __name__ == "__main__":
    main()
