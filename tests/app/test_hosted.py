"""The entry for hosts that start `streamlit run` themselves: a public demo of the light app, under the host's name."""

from __future__ import annotations

import tomllib
import urllib.request

from streamlit.web.server.app_discovery import discover_asgi_app

from tests.browser.serving import ROOT, served

FOLDER = ROOT / "app/hosted"
ENTRY = FOLDER / "streamlit_app.py"


def test_streamlit_finds_the_app_with_its_checks_around_it() -> None:
    assert discover_asgi_app(ENTRY).is_asgi_app


def test_it_asks_for_what_the_light_app_takes() -> None:
    lines = (FOLDER / "requirements.txt").read_text().splitlines()
    asked = [line.removeprefix("-r ") for line in lines if not line.startswith("#")]
    assert [(FOLDER / file).resolve() for file in asked] == [ROOT / "requirements-explore.txt"]


def test_its_settings_are_the_apps_but_for_where_it_listens_and_the_size_of_uploads() -> None:
    ours, theirs = (tomllib.loads((folder / ".streamlit/config.toml").read_text()) for folder in (ROOT / "app", FOLDER))
    differing = {key for key in ours["server"] if ours["server"][key] != theirs["server"][key]}
    assert differing == {"address", "maxUploadSize"}
    assert ours | {"server": 0} == theirs | {"server": 0}


def test_it_answers_to_the_hosts_name_and_tells_visitors_apart(tmp_path) -> None:
    with served(ENTRY, tmp_path / "log.txt", {"PROTEUS_RUNS": str(tmp_path)}, address=None) as url:
        asked = urllib.request.Request(url, headers={"Host": "proteus.example.org"})
        with urllib.request.urlopen(asked, timeout=30) as answer:
            assert answer.status == 200 and b"<title>" in answer.read()
            assert "proteus_visitor=" in answer.headers["set-cookie"], "it is a demo"
