"""The app behind a real proxy, under a path of its own: what docs/hosting.md says, with the very file that it shows."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.serving import ROOT, free_port, served
from tests.unit.run_folder import write_run

pytestmark = pytest.mark.browser

NGINX = os.environ.get("NGINX") or shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
PASSWORD = "only for the lecture"
WAIT_MS = 60_000
# All that is nginx's own goes into a folder of the test. A person's `server` block includes the same file.
SITE = """
daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream proteus_lab {{ server {app}; }}
  server {{ listen 127.0.0.1:{port}; include {rules}; }}
}}
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    runs = tmp_path_factory.mktemp("runs")
    write_run(runs, "a-run")
    return {"PROTEUS_RUNS": str(runs), "PROTEUS_PASSWORD": PASSWORD}


@pytest.fixture(scope="module")
def server(environment, tmp_path_factory) -> Iterator[str]:
    """The address at which the proxy shows the app."""
    if not NGINX:
        pytest.skip("no nginx: install it or set NGINX to its path")
    folder = tmp_path_factory.mktemp("proxy")
    with served(ROOT / "app/server.py", folder / "log.txt", environment, base="lab") as inside:
        app, port = inside.removeprefix("http://").removesuffix("/lab"), free_port()
        site = folder / "nginx.conf"
        site.write_text(SITE.format(folder=folder, app=app, port=port, rules=ROOT / "docker/nginx.conf"))
        proxy = subprocess.Popen([NGINX, "-c", str(site), "-e", str(folder / "error.log")])
        try:
            address = f"http://127.0.0.1:{port}"
            _until_it_answers(f"{address}/lab/_stcore/health")
            yield address
        finally:
            proxy.terminate()
            proxy.wait(10)


def _until_it_answers(url: str) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                assert answer.read() == b"ok"
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"nothing answers at {url}")


def test_everything_works_behind_it(page, server, tmp_path):
    assert page.request.get(f"{server}/lab/").status == 401
    assert page.request.post(f"{server}/lab/_login", form={"password": PASSWORD}).ok  # its cookie is the page's too
    with page.expect_response("**/lab/thumbnails/**", timeout=WAIT_MS) as pictures:
        page.goto(f"{server}/lab")  # without the stroke at its end
        page.locator("canvas.points").wait_for(timeout=WAIT_MS)  # so the WebSocket is up
    assert pictures.value.status == 200 and page.url.startswith(f"{server}/lab/")
    page.get_by_test_id("stSidebar").get_by_role("link", name="Train", exact=True).click()
    page.wait_for_url(f"{server}/lab/train**", timeout=WAIT_MS)

    row = page.get_by_test_id("stDownloadButton").first
    with page.expect_download(timeout=WAIT_MS) as waiting:
        row.get_by_role("button").click(timeout=WAIT_MS)
    waiting.value.save_as(tmp_path / "a-run.zip")
    page.locator("input[type=file]").first.set_input_files(tmp_path / "a-run.zip")
    expect(page.get_by_test_id("stAlertContentError")).to_contain_text("A run named a-run is already", timeout=WAIT_MS)
    page.reload()  # the address reopens what it names
    page.get_by_test_id("stDownloadButton").first.wait_for(timeout=WAIT_MS)


def test_another_sites_name_is_refused(server):
    stranger = urllib.request.Request(f"{server}/lab/", headers={"Host": "evil.example.org"})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(stranger, timeout=10)
