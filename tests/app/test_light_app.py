"""The light app opens runs where importing a model library is impossible, and says what it cannot do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from core.cli import main
from core.light import CLUSTERING, LIBRARIES
from tests.browser.serving import ROOT, served

BLOCKER = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
"""
PAGES = """
import json, sys
from app.reading import cards
from app.shell.navigation import entries
from tests.app.opened_page import page

found = {}
for run in sorted(folder.name for folder in cards.RECORDED_RUNS.iterdir() if folder.is_dir()):
    for path in entries():
        shown = page(path, {"run": run})
        texts = [str(each.value) for each in (*shown.markdown, *shown.error, *shown.info, *shown.caption)]
        found[f"{run} {path}"] = {"exceptions": [e.value for e in shown.exception], "texts": texts}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a Python in which importing what a light installation lacks fails."""
    return blocked(tmp_path_factory.mktemp("blocked"), *LIBRARIES, CLUSTERING, "numba", "peft", "transformers", "ray")


@pytest.fixture(scope="module")
def without_torch(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The same where scikit-learn was added."""
    return blocked(tmp_path_factory.mktemp("clustering"), *LIBRARIES)


def blocked(place: Path, *libraries: str) -> dict[str, str]:
    (place / "sitecustomize.py").write_text(f"ABSENT = {libraries!r}\n{BLOCKER}")
    environment = {"PYTHONPATH": f"{place}{os.pathsep}{ROOT}", "PROTEUS_RUNS": str(place / "runs")}
    done = subprocess.run([sys.executable, "-c", "import torch"], env=os.environ | environment, stderr=-1, check=False)
    assert b"ModuleNotFoundError" in done.stderr
    return environment


def run(without: dict[str, str], *command: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    command, environment = (sys.executable, *command), os.environ | without
    done = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == status, done.stderr[-3000:]
    return done


@pytest.mark.slow
def test_every_page_opens_with_every_recorded_run(without: dict[str, str]) -> None:
    found = json.loads(run(without, "-c", PAGES).stdout.splitlines()[-1])
    assert {name: page["exceptions"] for name, page in found.items() if page["exceptions"]} == {}
    assert not [name for name in found if name.endswith((" sweep", " data"))]
    for name, page in found.items():
        cannot = any("cannot be done here" in text for text in page["texts"])
        # On Kept elsewhere it is the button alone that measures an answer's time on this machine.
        assert cannot == name.endswith((" train", " try", " kept")), name
        assert not any(
            "not installed" in text or "no answer" in text or "Traceback" in text for text in page["texts"]
        ), name


@pytest.mark.slow
def test_the_server_comes_up_and_answers(without: dict[str, str], tmp_path: Path) -> None:
    entry, log = ROOT / "app" / "server.py", tmp_path / "log.txt"
    with served(entry, log, without) as url, urllib.request.urlopen(url, timeout=20) as answer:
        assert b"<title>" in answer.read()
    assert "Error" not in log.read_text()


def test_what_if_answers_in_the_runs_own_space_by_class_means(without: dict[str, str]) -> None:
    asked = ["-m", "core", "whatif", "proteus-split-digits", "--runs", "assets/runs", "--json"]
    answer = json.loads(run(without, *asked, "--mixture", "means").stdout)
    assert answer["what_if"]["accuracy"] > 0.9 and answer["bound"] >= 0
    refused = run(without, *asked, "--mixture", "class-seeded", status=2).stderr
    assert "needs scikit-learn" in refused and refused.count("\n") == 1


@pytest.mark.slow
def test_what_if_knows_all_mixtures_once_scikit_learn_is_there(without_torch: dict[str, str]) -> None:
    asked = ["-m", "core", "whatif", "proteus-split-digits", "--runs", "assets/runs", "--json"]
    for mixture in ("class-seeded", "kmeans", "gaussian", "dp-gmm"):
        answer = json.loads(run(without_torch, *asked, "--mixture", mixture).stdout)
        assert answer["what_if"]["accuracy"] > 0.5 and answer["bound"] >= 0
    refused = run(without_torch, *asked, "--space", "frozen", status=2).stderr
    assert "needs torch" in refused and refused.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [
        ["train", "--stream", "split-digits", "--backbone", "tiny", "--quiet"],
        ["predict", "proteus-split-digits", "assets/icon.png", "--runs", "assets/runs"],
        ["export", "proteus-split-digits", "--format", "peft", "--runs", "assets/runs"],
        ["fetch", "timm/vit_tiny_patch16_224"],
    ],
    ids=lambda words: words[0],
)
def test_what_needs_models_says_so_in_one_line(command: list[str], without: dict[str, str]) -> None:
    said = run(without, "-m", "core", *command, status=2).stderr
    assert "not installed here" in said and ".[app]" in said and said.count("\n") == 1


@pytest.mark.parametrize("command", [["list"], ["show", "proteus-split-digits", "--runs", "assets/runs"], ["doctor"]])
def test_what_reads_runs_works(command: list[str], without: dict[str, str]) -> None:
    assert run(without, "-m", "core", *command).stdout


def test_python_reads_runs_and_refuses_the_rest(without: dict[str, str]) -> None:
    code = """
import proteus_lab as lab
run = lab.Run.open("proteus-split-digits")
run.accuracy, run.predictions, run.map(), run.explain(3), run.figures.blocks(), run._repr_html_()
run.what_if(mixture="means")
for refused in (lambda: lab.train({"backbone.name": "tiny"}, progress=False), lambda: run.predict(run.thumbnail(0))):
    try:
        refused()
    except lab.UserError as error:
        print(error)
"""
    said = run(without, "-c", code).stdout.splitlines()
    assert len(said) == 2 and said[0].startswith("Training needs") and said[1].startswith("Answering for a new image")


def test_here_nothing_is_lacking() -> None:
    assert main(["list", "methods"]) == 0


def test_a_run_without_a_whitened_space_says_what_it_would_take(without: dict[str, str]) -> None:
    asked = """
import json
from app.reading.cards import RECORDED_RUNS, run_card
from app.workers import questions
names = ("proteus-likelihood-split-fashion", "proteus-split-fashion")
cards = [run_card(RECORDED_RUNS / name, True) for name in names]
print(json.dumps([[questions.why_not(card), questions.known_spaces(card)] for card in cards]))
"""
    literal, ours = json.loads(run(without, "-c", asked).stdout.splitlines()[-1])
    assert "need torch" in literal[0] and ours == [None, ["whitened"]]
