"""Helper processes: started when needed, replaced when they are gone."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from app.workers.helper import Helper
from core.errors import UserError

ECHO = """
import json, os, sys, time
for line in sys.stdin:
    q = json.loads(line)
    name = q["image"]
    if name == "die": print("out of luck", file=sys.stderr); sys.exit(3)
    if name == "slow": time.sleep(1)
    if name == "bad": print(json.dumps({"id": q["id"], "error": "no such thing"}), flush=True); continue
    print(json.dumps({"id": q["id"], "answer": {"image": name, "pid": os.getpid()}}), flush=True)
"""


@pytest.fixture
def helper():
    made = Helper([sys.executable, "-c", ECHO])
    yield made
    made.stop()


def ask(helper: Helper, name: str, tick=lambda: None, timeout: float = 30.0) -> dict:
    return helper.ask({"image": name}, tick, timeout)


def test_one_process_answers_again_and_again(helper):
    assert ask(helper, "a")["pid"] == ask(helper, "b")["pid"]


def test_errors_are_passed_on_and_the_process_lives(helper):
    pid = ask(helper, "a")["pid"]
    with pytest.raises(UserError, match="no such thing"):
        ask(helper, "bad")
    assert ask(helper, "c")["pid"] == pid


def test_a_dead_process_is_reported_with_its_last_words_and_replaced(helper):
    pid = ask(helper, "a")["pid"]
    with pytest.raises(UserError, match="out of luck"):
        ask(helper, "die")
    assert ask(helper, "b")["pid"] != pid


def test_who_leaves_while_waiting_does_not_disturb_the_next(helper):
    class Left(Exception):
        pass

    def leave() -> None:
        raise Left

    with pytest.raises(Left):
        ask(helper, "slow", leave)
    assert ask(helper, "next")["image"] == "next"


def test_silence_is_ended(helper):
    with pytest.raises(UserError, match="no answer within"):
        ask(helper, "slow", timeout=0.2)
    assert ask(helper, "a")["image"] == "a"


def worker(*, idle: float) -> subprocess.Popen:
    code = f"from app.workers.answer_images import main; raise SystemExit(main({idle}))"
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_the_real_helper_answers_what_it_cannot_do_and_ends_with_its_input(tmp_path):
    process = worker(idle=60)
    out, _ = process.communicate(
        f'{{"id": 7, "run": "{tmp_path}/none", "image": "{tmp_path}/none.png"}}\n'.encode(), timeout=120
    )
    assert b'"id": 7' in out
    assert b'"error"' in out
    assert process.returncode == 0


def test_the_real_helper_ends_when_nobody_asks():
    began = time.monotonic()
    process = worker(idle=0.2)
    assert process.wait(60) == 0
    process.stdin.close()
    process.stdout.close()
    assert time.monotonic() - began < 60
