"""The command line, `python -m core VERB`: results on stdout (tables, or `--json`), progress and errors on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core import __version__, listing, report, terminal
from core.errors import UserError, unknown
from core.failures import CANCELLED, complain, guarded
from core.flags import configuration, nested, over_preset
from core.listing import named_run
from core.supervise import begun, conclude, resumed, sent, supervise, terminable

if TYPE_CHECKING:
    from core.sweep.execute import Executor

app = typer.Typer(
    name="core",
    help="Learn a stream of tasks on a frozen vision model, and see what is forgotten and why.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Runs = Annotated[Path, typer.Option("--runs", envvar=listing.RUNS_VARIABLE, help="Folder that holds the run folders.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="Name of a run, or the beginning of one.")]
Ray = Annotated[str | None, typer.Option("--ray", metavar="ADDRESS", help="On this Ray cluster; 'auto' finds it.")]
Cpus = Annotated[float, typer.Option("--cpus", min=0.1, help="On a cluster: processor cores that a run takes.")]
Gpus = Annotated[float, typer.Option("--gpus", min=0, help="On a cluster: GPUs that a run takes, such as 0.5.")]
DEFAULT_RUNS = Path(listing.DEFAULT_RUNS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 0, 2 for what the user can put right, 130 when cancelled, 1 for a defect."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"] or ["--help"]
    return guarded(lambda: app(arguments, prog_name="python -m core", standalone_mode=False), debug)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"proteus-lab {__version__}")
        raise typer.Exit


@app.callback()
def _global(
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with errors.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    """`main` has taken --debug out already; it is declared here for --help."""


@app.command()
def train(
    preset: Annotated[str | None, typer.Option(metavar="NAME", help="A paper's protocol; see `presets`.")] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="Try the preset on a few digits, tiny backbone.")] = False,
    stream: Annotated[
        str | None,
        typer.Option(metavar="NAME|PATH", help="split-fashion, another of `list streams`, a folder or a zip."),
    ] = None,
    method: Annotated[str | None, typer.Option(help="How to learn; see `list methods`.")] = None,
    backbone: Annotated[str | None, typer.Option(help="Frozen model; see `list backbones`.")] = None,
    tasks: Annotated[int | None, typer.Option(help="Number of tasks.")] = None,
    task_by: Annotated[str | None, typer.Option(metavar="prefix|classes", help="How classes become tasks.")] = None,
    train_per_class: Annotated[int | None, typer.Option(help="Training images per class, at most.")] = None,
    test_per_class: Annotated[int | None, typer.Option(help="Test images per class, at most.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Side of the model's square input, pixels.")] = None,
    blocks: Annotated[str | None, typer.Option(help="Adapted blocks: all, last:N, first:N or 8,9,11.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over each task's training images.")] = None,
    retrieval: Annotated[str | None, typer.Option(help="How the task of an image is found.")] = None,
    rank: Annotated[int | None, typer.Option(help="Rank of a later task's new units.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images per training step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Adam's step size.")] = None,
    seed: Annotated[int | None, typer.Option(help="Fixes every random choice.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY.PATH=VALUE", help="Any other setting, written as in TOML."),
    ] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="Settings in TOML; flags override them.")] = None,
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="Go on with a run that stopped.")] = None,
    title: Annotated[str | None, typer.Option(help="The name of the run for people.")] = None,
    name: Annotated[str | None, typer.Option(hidden=True)] = None,
    ray: Ray = None,
    cpus: Cpus = 1,
    gpus: Gpus = 0,
    runs: Runs = DEFAULT_RUNS,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    as_json: AsJson = False,
) -> None:
    """Learn a stream of tasks, one after another, and record what happened in a run folder."""
    flags = nested(
        {
            "stream.name": stream,
            "stream.tasks": tasks,
            "stream.task_by": task_by,
            "stream.train_per_class": train_per_class,
            "stream.test_per_class": test_per_class,
            "method.name": method,
            "backbone.name": backbone,
            "backbone.image_size": image_size,
            "adapters.blocks": blocks,
            "adapters.rank": rank,
            "training.epochs": epochs,
            "training.batch_size": batch_size,
            "training.learning_rate": learning_rate,
            "training.device": device,
            "retrieval.mode": retrieval,
            "seed": seed,
        }
    )
    if resume is not None:
        if flags or settings or config or name or title or preset or smoke:
            raise UserError("--resume goes on with the run's own configuration: leave the other flags out.")
        folder, work = resumed(resume, runs)
    else:
        values = over_preset(preset, smoke, configuration(config, flags, settings or []))
        folder, work = begun(values, runs, title or preset, name)
        if ray is not None:
            from core.runs.jobs import prepare

            prepare(folder, values)
    if ray is not None:
        work = sent(folder, title, ray, cpus, gpus)
    supervise(folder, work, quiet)
    conclude(folder, as_json)


@app.command("list")
def list_(
    what: Annotated[str | None, typer.Argument(metavar="[streams|backbones|methods|runs]")] = None,
    runs: Runs = DEFAULT_RUNS,
    as_json: AsJson = False,
) -> None:
    """What there is to choose from, and the runs so far."""
    listing.show_lists(what, runs, as_json)


@app.command()
def presets(as_json: AsJson = False) -> None:
    """The papers' protocols: what each runs, what it costs on a GPU, what the papers report."""
    listing.show_presets(as_json)


@app.command()
def assemble(
    stream: Annotated[str, typer.Option(metavar="NAME|PATH", help="Images of all tasks, in the adapters' order.")],
    adapters: Annotated[
        list[Path] | None, typer.Option(metavar="FOLDER FOLDER…", help="PEFT folders, one per task.")
    ] = None,
    more: Annotated[list[Path] | None, typer.Argument(hidden=True)] = None,
    backbone: Annotated[str | None, typer.Option(help="What they were trained on, where they do not say.")] = None,
    tasks: Annotated[int | None, typer.Option(help="Number of tasks.")] = None,
    task_by: Annotated[str | None, typer.Option(metavar="prefix|classes", help="How classes become tasks.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Side of the model's square input, pixels.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over each task's training images, for its head.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY.PATH=VALUE", help="Any other key, value as in TOML.")
    ] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="TOML; flags go before it.")] = None,
    title: Annotated[str | None, typer.Option(help="What people shall see as the run's name.")] = None,
    runs: Runs = DEFAULT_RUNS,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a run over LoRA adapters trained elsewhere with peft: it learns one head per task, and retrieval."""
    flags = {
        "stream.name": stream,
        "stream.tasks": tasks,
        "stream.task_by": task_by,
        "backbone.name": backbone,
        "backbone.image_size": image_size,
        "training.epochs": epochs,
    }
    folders = [*(adapters or []), *(more or [])]
    from core.training.peft_runs import assembly

    values = assembly(folders, configuration(config, nested(flags), settings or []))
    folder, work = begun(values, runs, title or f"{len(folders)} adapters from elsewhere", None)
    supervise(folder, work, quiet)
    conclude(folder, as_json)


@app.command()
def show(run: RunName, runs: Runs = DEFAULT_RUNS, as_json: AsJson = False) -> None:
    """One run: what ran, how well it went, and what was forgotten."""
    found = named_run(runs, run)
    if as_json:
        document = {"manifest": found.manifest.model_dump(), "status": found.status.model_dump()}
        terminal.show_json(report.result(found) | document | {"metrics": found.metrics})
        return
    report.show_facts(found)
    if found.metrics:
        report.show_results(found)
        report.show_tasks(found)
        report.show_theory(found)
        report.show_retention(found)


@app.command()
def compare(
    run: Annotated[list[str], typer.Argument(metavar="RUN RUN…", help="Two or more runs.")],
    runs: Runs = DEFAULT_RUNS,
    as_json: AsJson = False,
) -> None:
    """Runs side by side: how their settings differ, then their numbers."""
    found = [named_run(runs, name) for name in run]
    if len(found) < 2:
        raise UserError("compare needs two runs or more: name another one.")
    compared = report.comparison(found)
    if as_json:
        terminal.show_json(compared)
    else:
        report.show_comparison(compared)


@app.command()
def predict(
    run: RunName,
    image: Annotated[list[Path], typer.Argument(metavar="IMAGE…", help="Image files.")],
    runs: Runs = DEFAULT_RUNS,
    as_json: AsJson = False,
) -> None:
    """Which task and class a run's model sees in images."""
    found = named_run(runs, run)
    for path in image:
        if not path.is_file():
            raise UserError(f"There is no image at {path}: check the path.")
    from core.training.inference import predict_images

    answers = predict_images(found.folder, image)
    if as_json:
        terminal.show_json(answers)
        return
    columns = ["image", "task", "class", "scores by task"]
    cells = [[str(answer["image"]), str(answer["task"]), str(answer["class"]), _scores(answer)] for answer in answers]
    terminal.show_table(f"predictions of {found.name}", columns, cells)


def _scores(answer: dict[str, Any]) -> str:
    best = sorted(answer.get("scores") or [], key=lambda entry: -entry["score"])[:3]
    return ", ".join(f"{entry['task']} {entry['score']:.2f}" for entry in best)


@app.command()
def explain(
    run: RunName,
    image: Annotated[str | None, typer.Argument(metavar="IMAGE", help="Number of a run's image, or a file.")] = None,
    against: Annotated[
        str | None, typer.Option(metavar="TASK", help="Compare with this task: name, or 1 to N.")
    ] = None,
    classes: Annotated[bool, typer.Option("--classes", help="Compare two classes; --against names one.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Record the evidence of a run's test images instead.")] = False,
    to: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the PNG and the JSON go.")] = Path(),
    runs: Runs = DEFAULT_RUNS,
    as_json: AsJson = False,
) -> None:
    """Where in an image a run's answer comes from: nats by patch and by block."""
    found = named_run(runs, run)
    from core.training.explain_command import explain_all, explain_one

    if every == (image is not None):
        raise UserError("Name one image, by its number in the run or as a file; or give --all and no image.")
    if every:
        told = explain_all(found)
        terminal.show_json(told) if as_json else terminal.show_line(
            f"Evidence of {told['images']} test images of {found.name} is recorded: {told['file']}."
        )
        return
    explanation, files = explain_one(found, str(image), against, "class" if classes else "task", to)
    if as_json:
        terminal.show_json({"run": found.name, "files": files} | explanation.document())
    else:
        report.show_explanation(explanation, files)


@app.command()
def whatif(
    run: RunName,
    space: Annotated[str | None, typer.Option(help="whitened, frozen or frozen-whitened.")] = None,
    mixture: Annotated[str | None, typer.Option(help="class-seeded, dp-gmm, gaussian, means or kmeans.")] = None,
    components: Annotated[int | None, typer.Option(help="Components per class or task, or clusters per task.")] = None,
    concentration: Annotated[float | None, typer.Option(help="Concentration of a Dirichlet process.")] = None,
    covariance: Annotated[str | None, typer.Option(help="full, diagonal or tied; for dp-gmm and gaussian.")] = None,
    dimensions: Annotated[
        int | None, typer.Option(help="Principal components kept before covariances are fitted.")
    ] = None,
    shortlist: Annotated[int | None, typer.Option(help="k of recall@k.")] = None,
    tasks: Annotated[int | None, typer.Option(min=2, help="Only the first so many tasks take part.")] = None,
    runs: Runs = DEFAULT_RUNS,
    as_json: AsJson = False,
) -> None:
    """What a finished run would have answered with other retrieval, from its embeddings; nothing is trained."""
    from core.config import validate
    from core.retrieval.questions import Settings

    given = {"space": space, "mixture": mixture, "components": components, "concentration": concentration}
    given |= {"covariance": covariance, "dimensions": dimensions, "shortlist": shortlist}
    given["after_task"] = tasks - 1 if tasks else None
    settings = validate(Settings, {key: value for key, value in given.items() if value is not None}, "whatif")
    found = named_run(runs, run)
    from core.retrieval.answering import ask

    answer = ask(found, settings)
    if as_json:
        terminal.show_json({"run": found.name, "settings": settings.model_dump()} | answer.summary())
    else:
        report.show_what_if(answer, settings.shortlist)


@app.command()
def sweep(
    file: Annotated[Path, typer.Argument(metavar="FILE.toml", help="A base configuration and axes.")],
    at_once: Annotated[int, typer.Option("--jobs", min=1, help="How many runs train at once on this machine.")] = 1,
    ray: Ray = None,
    cpus: Cpus = 1,
    gpus: Gpus = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Skip what is done, go on with what was begun.")] = False,
    runs: Runs = DEFAULT_RUNS,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train many runs from one file, each an ordinary run; then print means with intervals, and paired tests."""
    from core.sweep.execute import Sweep, as_document, sweep_folder
    from core.sweep.plan import read_plan

    plan = read_plan(file)
    folder = sweep_folder(runs, plan.name)
    try:
        from core.sweep.display import followed, show_summary

        with terminable(), followed(quiet) as listener:
            progress = Sweep(plan, runs, lambda: _executor(at_once, ray, cpus, gpus), listener, resume).run()
    except KeyboardInterrupt:
        again = f"python -m core sweep {file} --resume"
        raise typer.Exit(complain(f"cancelled: what is done is kept; go on with `{again}`.", CANCELLED)) from None
    from core.sweep.summary import summary_rows, write_summary

    if progress.done:
        found = write_summary(plan, runs, folder)
        if as_json:
            terminal.show_json({"sweep": plan.name, "runs": as_document(progress), "summary": summary_rows(found)})
        else:
            show_summary(plan.name, found)
            print(f"runs.csv, summary.csv and figure.html are in {folder}.")
    if progress.failed:
        first = progress.failed[0]
        raise UserError(f"{len(progress.failed)} of {len(plan.runs)} runs failed; {first.name}: {first.message}")


def _executor(at_once: int, ray: str | None, cpus: float, gpus: float) -> Executor:
    if ray is not None:
        from core.sweep.cluster import Cluster

        return Cluster(ray, cpus, gpus)
    from core.sweep.local import Local

    return Local(at_once)


@app.command("app", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def open_app(context: typer.Context) -> None:
    """Open the browser app; options of `streamlit run` may follow, such as --server.port=8600."""
    if find_spec("streamlit") is None:
        raise UserError("The app needs Streamlit, which is not installed: pip install 'proteus-lab[explore]'.")
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "app", *context.args])


@app.command()
def doctor(
    network: Annotated[bool, typer.Option("--network", help="Also ask whether the package index answers.")] = False,
    runs: Runs = DEFAULT_RUNS,
    as_json: AsJson = False,
) -> None:
    """What a bug report needs: versions, device, disk, weights, runs, and what will not work here."""
    from core.doctor import as_rows, examine

    found = examine(runs, network)
    if as_json:
        terminal.show_json(found)
        return
    terminal.show_table("this machine", ["what", "value"], as_rows(found))
    for problem in found["problems"] or ["Nothing is wrong that can be seen from here."]:
        print(problem)


@app.command()
def fetch(
    backbone: Annotated[str, typer.Argument(metavar="BACKBONE", help="See `list backbones`.")], as_json: AsJson = False
) -> None:
    """Get a backbone's weights now, so that training works without a network later."""
    from core.backbones.weights import fetch as fetch_weights

    path = fetch_weights(backbone, None if as_json else _downloaded)
    if as_json:
        terminal.show_json({"backbone": backbone, "path": str(path)})
    else:
        print(f"{backbone} is here: {path}.")


def _downloaded(done: int, total: int) -> None:
    end = "\n" if done >= total else ""
    if sys.stderr.isatty() or end:
        sys.stderr.write(f"\r{terminal.size(done)} of {terminal.size(total)}{end}")


@app.command()
def export(
    run: RunName,
    to: Annotated[Path | None, typer.Option(metavar="PLACE", help="RUN.zip here, or the folder RUN-peft.")] = None,
    form: Annotated[str, typer.Option("--format", metavar="zip|peft", help="peft: one folder per task.")] = "zip",
    runs: Runs = DEFAULT_RUNS,
    as_json: AsJson = False,
) -> None:
    """Write a run as one zip file that others can import, or its adapters as folders for the PEFT library."""
    from core.runs.share import export_run

    found = named_run(runs, run)
    if form == "peft":
        from core.training.peft_runs import export_adapters

        folders = export_adapters(found.folder, to or Path(f"{found.name}-peft"))
        if as_json:
            terminal.show_json({"run": found.name, "folders": [str(folder) for folder in folders]})
        else:
            print(f"{len(folders)} adapters for peft: {folders[0]}{' …' if folders[1:] else ''}.")
        return
    if form != "zip":
        raise unknown("format", form, ["zip", "peft"])
    target = Path(f"{found.name}.zip") if to is None else to / f"{found.name}.zip" if to.is_dir() else to
    path = export_run(found, target)
    if as_json:
        terminal.show_json({"run": found.name, "file": str(path), "bytes": path.stat().st_size})
    else:
        print(f"{path}: {terminal.size(path.stat().st_size)}. Others read it with `python -m core import {path.name}`.")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A zip file made by `export`.")],
    name: Annotated[str | None, typer.Option(help="Import under another name.")] = None,
    runs: Runs = DEFAULT_RUNS,
    as_json: AsJson = False,
) -> None:
    """Take in a run that somebody exported; nothing in the file is executed."""
    from core.runs.share import import_run

    found = import_run(file, runs, name)
    if as_json:
        terminal.show_json({"run": found.name, "folder": str(found.folder)})
    else:
        print(f"Imported as {found.name}: see it with `python -m core show {found.name}`.")
