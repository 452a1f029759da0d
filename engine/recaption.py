"""`python -m engine.recaption`: captions by models into a ledger, every request accounted for."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from engine.command import exit_code, source_parser
from engine.numbers import positive

if TYPE_CHECKING:
    from engine.recap.options import ModelOptions, RecaptionOptions, Stage
    from engine.recap.requests import Sampling
    from engine.recap.run import RunOptions

EXAMPLE = """\
examples:
  python -m engine.recaption 'data/*.tar' --mode vec --model llava-hf/llava-1.5-7b-hf --out captions
  python -m engine.recaption 'data/*.tar' --mode vecap --base-url http://localhost:8000/v1 --out captions
  python -m engine.recaption 'data/*.tar' --mode all --pilot 200 --base-url http://localhost:8000/v1 --out c

Then pack them with python -m engine.shard 'data/*.tar' --captions captions --out shards.
A run that was stopped goes on with the same command; no answer is asked for twice.
"""
# As in `engine.recap.options.MODES` and `engine.prompts.VARIANTS`, so that --help need not load them.
MODES = ("vec", "vecap", "laclip", "all")
PACKS = ("fluent", "plain", "scene", "terse")
PROMPTS = ("hardened", "paper", "paper_no_constraints")


def make_parser() -> argparse.ArgumentParser:
    """The command line's options."""
    description = "Let models write captions: VeC of images, VeCap of AltText and VeC, rewrites."
    return source_parser("recaption", description, EXAMPLE, _add_output, _add_model, _add_wording, _add_run)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    args = make_parser().parse_args(arguments)
    return exit_code(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    from engine.recap.host import close_hosts

    try:
        for options, run in _stages(args):
            print(_pilot(args.pilot, options, run) if args.pilot else _whole(options, run), flush=True)
    finally:
        close_hosts()
    return 0


def _whole(options: RecaptionOptions, run: RunOptions) -> str:
    from engine.recap.report import ProgressReport, summary
    from engine.recap.run import recaption
    from engine.sources import open_source

    with ProgressReport() as progress:
        result = recaption(open_source(options.source), options, run, progress.show)
    return summary(result, run.ledger, progress.seconds)


def _pilot(count: int, options: RecaptionOptions, run: RunOptions) -> str:
    from engine.recap.pilot import pilot_report, run_pilot
    from engine.recap.report import ProgressReport
    from engine.sources import open_source

    with ProgressReport() as progress:
        return pilot_report(run_pilot(open_source(options.source), options, run, count, progress.show))


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("captions")
    group.add_argument("--mode", choices=MODES, required=True, help="all: vec, then vecap")
    group.add_argument("--out", type=Path, required=True, metavar="DIR", help="the ledger's folder")
    group.add_argument(
        "--captions", nargs="+", default=[], metavar="LEDGER",
        help="further ledgers that hold VeC, for vecap (that of --out is used anyway)",
    )  # fmt: skip
    group.add_argument(
        "--alttext",
        default="alttext",
        metavar="NAME",
        help="caption source of the AltTexts (default alttext)",
    )
    group.add_argument(
        "--packs", nargs="+", default=list(PACKS), metavar="PACK",
        help="example pairs of laclip, one rewrite each: names or YAML files",
    )  # fmt: skip


def _add_model(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("model")
    group.add_argument("--model", metavar="NAME", help="name or folder; a server's only one by default")
    group.add_argument("--base-url", metavar="URL", help="an OpenAI-compatible server, up to /v1 (else vLLM)")
    group.add_argument("--revision", default="", metavar="REV", help="of the model; recorded")
    group.add_argument(
        "--template", default="own", metavar="NAME",
        help="chat template: own (the model's), vicuna_v1.1, llava_v1, llava_1.5_hf, plain",
    )  # fmt: skip
    for option, metavar in (
        ("model", "NAME"),
        ("base-url", "URL"),
        ("revision", "REV"),
        ("template", "NAME"),
    ):
        group.add_argument(
            f"--llm-{option}", metavar=metavar, help=f"all: the --{option} of vecap, if another"
        )
    group.add_argument(
        "--tensor-parallel", type=positive, default=1, metavar="N", help="GPUs of one engine (default 1)"
    )
    group.add_argument(
        "--engine-args", default="{}", metavar="JSON", help="for vLLM, e.g. '{\"max_model_len\": 2048}'"
    )


def _add_wording(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("requests")
    group.add_argument("--prompt", choices=PROMPTS, default="hardened", help="default hardened")
    group.add_argument(
        "--temperature", type=float, metavar="T", help="default: vec 0.2, vecap 0.7, laclip 0.9"
    )
    group.add_argument("--top-p", type=float, metavar="P", help="default: 1, laclip 0.95")
    group.add_argument(
        "--max-tokens", type=positive, metavar="N", help="of one answer; default: vec 77, else 96"
    )
    group.add_argument("--seed", type=int, default=0, metavar="N", help="of every request (default 0)")
    group.add_argument(
        "--image-size", type=positive, default=336, metavar="PX",
        help="shorter side that larger images are reduced to (default 336)",
    )  # fmt: skip
    group.add_argument(
        "--prompt-tokens", type=positive, default=384, metavar="N",
        help="AltText is cut so that AltText and VeC have at most so many together (default 384)",
    )  # fmt: skip


def _add_run(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("run (changes no row of the result)")
    group.add_argument(
        "--pilot", type=positive, metavar="N",
        help="ask about N samples only, and print speed, expected time, acceptance and examples",
    )  # fmt: skip
    group.add_argument(
        "--concurrency",
        type=positive,
        default=64,
        metavar="N",
        help="requests in flight a worker (default 64)",
    )
    group.add_argument(
        "--request-timeout", type=float, default=120.0, metavar="S", help="for one answer (default 120)"
    )
    group.add_argument(
        "--silence", type=float, default=600.0, metavar="S",
        help="stop when the engine has answered nothing for so long (default 600)",
    )  # fmt: skip
    group.add_argument(
        "--workers", type=positive, default=1, metavar="N",
        help="processes; with vLLM under Ray: engines (default 1)",
    )  # fmt: skip
    group.add_argument("--executor", choices=("local", "ray"), default="local", help="default local")
    group.add_argument(
        "--max-failures", default="5%", metavar="N",
        help="stop after so many rejects and captions not as asked for: a number, or a share once there are "
        "1,000 samples (default 5%%)",
    )  # fmt: skip


def _stages(args: argparse.Namespace) -> list[tuple[RecaptionOptions, RunOptions]]:
    from engine.recap.options import Stage

    stages = {
        "vec": [Stage("vec", "vec")],
        "vecap": [Stage("vecap", "vecap")],
        "all": [Stage("vec", "vec"), Stage("vecap", "vecap")],
        "laclip": [Stage(f"rewrite/{Path(pack).stem}", "laclip", pack) for pack in args.packs],
    }[args.mode]
    return [_stage_options(args, stage) for stage in stages]


def _stage_options(args: argparse.Namespace, stage: Stage) -> tuple[RecaptionOptions, RunOptions]:
    from engine.errors import UserError
    from engine.recap.options import OWN_TEMPLATE, ModelOptions, RecaptionOptions
    from engine.sources.cli import source_options

    own = {name: getattr(args, name) for name in ("model", "base_url", "revision", "template")}
    if args.mode == "all" and stage.kind == "vecap":
        own |= {name: other for name in own if (other := getattr(args, f"llm_{name}")) is not None}
    if stage.kind == "vec" and own["base_url"] and own["template"] != OWN_TEMPLATE:
        raise UserError(
            f"--template {own['template']}: given with --base-url, but a server takes images in its own chat "
            "format only; leave it out, or give it to the text model alone (--mode all --llm-template NAME)"
        )
    model = ModelOptions(own["model"], own["revision"], own["template"])
    options = RecaptionOptions(
        # VeC is of the image alone; without AltText, VeCap is VeC.
        source=replace(source_options(args), without_captions=stage.kind != "laclip"),
        stage=stage,
        model=model,
        prompt=args.prompt,
        sampling=_sampling(args, stage),
        seed=args.seed,
        image_px=args.image_size,
        prompt_tokens=args.prompt_tokens,
        alttext=args.alttext,
        ledgers=tuple(args.captions),
    )
    return options, _run_options(args, model, own["base_url"])


def _sampling(args: argparse.Namespace, stage: Stage) -> Sampling:
    from engine.recap.options import SAMPLINGS

    asked = {name: getattr(args, name) for name in ("temperature", "top_p", "max_tokens")}
    return replace(
        SAMPLINGS[stage.kind], **{name: value for name, value in asked.items() if value is not None}
    )


def _run_options(args: argparse.Namespace, model: ModelOptions, base_url: str | None) -> RunOptions:
    from engine.build.budget import parse_budget
    from engine.recap.delivery import Patience
    from engine.recap.options import EngineOptions
    from engine.recap.run import RunOptions

    engine = EngineOptions(
        base_url=base_url,
        model=model,
        concurrency=args.concurrency,
        timeout_s=args.request_timeout,
        patience=Patience(silence_s=args.silence),
        tensor_parallel=args.tensor_parallel,
        engine_args=args.engine_args,
    )
    # vLLM starts processes of its own, which a worker process of the local executor may not.
    in_process = args.executor == "local" and base_url is None
    executor = "inline" if in_process else args.executor
    return RunOptions(args.out, engine, args.workers, executor, parse_budget(args.max_failures))


if __name__ == "__main__":
    sys.exit(main())
