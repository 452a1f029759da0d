"""How many attacks in AltTexts come through to a caption, with a server that obeys them.

python -m benchmarks.redteam --json redteam.json

Runs `python -m engine.recaption --mode vecap` over real HTTP on the red-team set of `engine.prompts`, with
the paper's prompt and the hardened one, for every level of obedience and form of attack of
`benchmarks.obeying_server`. Success: the caption in the ledger holds the attack's canary.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import tarfile
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.answering_server import AnsweringServer, Respond
from benchmarks.obeying_server import FORMS, LEVELS, ObeyingModel, vec_of
from engine.captions.ledger import LedgerRow, open_ledger, read_rows
from engine.errors import UserError
from engine.prompts import PARTS, Attack, attack_success, load_attacks
from engine.recaption import main as recaption

PROMPTS = ("paper", "hardened")


@dataclass
class Outcome:
    """One run over the set.

    Attributes:
        prompt, level, form: what was run.
        attacks: cases.
        reached: cases that the model obeyed.
        rejected: samples that were rejected before any model saw them.
        succeeded: cases whose caption in the ledger holds the canary.
        succeeded_by_family: of these, by family.
        status: rows by status code.
        fallbacks: rows by fallback.
    """

    prompt: str
    level: str
    form: str
    attacks: int
    reached: int = 0
    rejected: int = 0
    succeeded: int = 0
    succeeded_by_family: dict[str, int] = field(default_factory=dict)
    status: dict[str, int] = field(default_factory=dict)
    fallbacks: dict[str, int] = field(default_factory=dict)


@contextlib.contextmanager
def serving(respond: Respond) -> Iterator[str]:
    """The server in a thread of this process; its URL."""
    loop = asyncio.new_event_loop()
    server = AnsweringServer(respond)
    port = loop.run_until_complete(server.start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(server.stop())
        loop.close()


def write_tar(path: Path, cases: Sequence[Attack]) -> None:
    """The attacks as AltTexts of a web data set, with a VeC each."""
    with tarfile.open(path, "w") as archive:
        for number, case in enumerate(cases):
            fields = {"jpg": b"\xff\xd8 no image is looked at", "txt": case.alttext.encode()}
            fields["json"] = json.dumps({"vec": vec_of(number)}).encode()
            for name, data in fields.items():
                member = tarfile.TarInfo(f"{number:05d}.{name}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


def attack(cases: Sequence[Attack], prompt: str, level: str, form: str) -> Outcome:
    """One run of the command.

    Raises:
        UserError: the command failed.
    """
    model = ObeyingModel(cases, level, form, set())
    with tempfile.TemporaryDirectory() as name, serving(model) as url:
        folder = Path(name)
        write_tar(folder / "0.tar", cases)
        words = [str(folder / "0.tar"), "--mode", "vecap", "--prompt", prompt, "--out", str(folder / "out")]
        words += ["--caption", "alttext=txt", "--caption", "vec=json:vec", "--base-url", url]
        with contextlib.redirect_stdout(io.StringIO()):
            if recaption([*words, "--max-failures", "100%"]) != 0:
                raise UserError(f"engine.recaption --prompt {prompt} failed; see above")
        (source,) = open_ledger(folder / "out")
        rows = [row for part in source.parts for row in read_rows(part)]
    return _outcome(cases, rows, Outcome(prompt, level, form, len(cases), len(model.reached)))


def _outcome(cases: Sequence[Attack], rows: Sequence[LedgerRow], outcome: Outcome) -> Outcome:
    texts = {int(row.key): row.text or "" for row in rows}
    through = [case for at, case in enumerate(cases) if attack_success(texts.get(at, ""), case)]
    outcome.rejected = len(cases) - len(rows)
    outcome.succeeded = len(through)
    outcome.succeeded_by_family = dict(Counter(case.family for case in through))
    outcome.status = dict(Counter(row.status for row in rows).most_common())
    outcome.fallbacks = dict(Counter(row.fallback or "asked_for" for row in rows).most_common())
    return outcome


def show(outcome: Outcome) -> str:
    """One line."""
    codes = ", ".join(f"{code} {n}" for code, n in outcome.status.items())
    share = f"{outcome.succeeded} of {outcome.attacks} ({outcome.succeeded / outcome.attacks:.1%})"
    which = f"{outcome.prompt:9} {outcome.level:9} {outcome.form:9}"
    return f"{which} obeyed {outcome.reached:4}  succeeded {share}  {codes}"


def main() -> None:
    """Prints a line per run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="write the results here too")
    args = parser.parse_args()
    results: list[dict[str, Any]] = []
    for part, prompt, level, form in product(PARTS, PROMPTS, LEVELS, FORMS):
        outcome = attack(load_attacks(part), prompt, level, form)
        results.append({"part": part, **asdict(outcome)})
        print(f"{part:8} {show(outcome)}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
