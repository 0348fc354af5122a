"""The page that runs a step of a model in a browser, in a browser without a window."""

import functools
import http.server
import json
import queue
import shutil
import subprocess
import threading

import numpy as np
import pytest

from .running import EXAMPLES, run_here

DEMO = EXAMPLES.parent / "docs" / "demo"
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
NPM = shutil.which("npm")
VERSION = "1.30.0"


class Site(http.server.SimpleHTTPRequestHandler):
    """Files, the runtime's under /ort/, and what the page reports."""

    def __init__(self, *args, runtime, reports, **kwargs):
        self.runtime, self.reports = runtime, reports
        super().__init__(*args, **kwargs)

    def translate_path(self, path):
        name = path.partition("?")[0]
        if name.startswith("/ort/"):
            return str(self.runtime / name.removeprefix("/ort/"))
        return super().translate_path(path)

    def do_POST(self):
        self.reports.put(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args):
        del args


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    """Folder of onnxruntime-web, of the version that the page names."""
    if BROWSER is None or NPM is None:
        pytest.skip("needs chromium and npm")
    folder = tmp_path_factory.mktemp("npm")
    command = [NPM, "install", "--no-audit", f"onnxruntime-web@{VERSION}"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=300)
    return folder / "node_modules" / "onnxruntime-web" / "dist"


def report_of(page, runtime, tmp_path):
    """What the page says of its check."""
    reports = queue.Queue()
    site = functools.partial(
        Site, directory=str(page), runtime=runtime, reports=reports
    )
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/?ort=/ort/&report=/report"
        browser = subprocess.Popen(
            [
                BROWSER,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                f"--user-data-dir={tmp_path / 'profile'}",
                url,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            return json.loads(reports.get(timeout=120))
        finally:
            browser.kill()
            browser.wait()
            server.shutdown()


@pytest.mark.formats
def test_the_page_of_the_docs_predicts_as_keras_did(runtime, tmp_path):
    found = report_of(DEMO, runtime, tmp_path)
    assert found["steps"] == 316
    # Rounding of float32 in outputs of about 1, along 316 steps.
    assert found["largest"] < 1e-5


@pytest.mark.formats
# The converter's own, of today's NumPy.
@pytest.mark.filterwarnings("ignore")
def test_the_example_writes_the_page_and_its_step(runtime, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    page = tmp_path / "page"
    arguments = ["--epochs", 1, "--waves", 32, "--output-dir", page]
    run_here(monkeypatch, EXAMPLES / "browser_demo.py", *arguments)
    assert report_of(page, runtime, tmp_path)["largest"] < 1e-5


def test_the_page_names_the_version_that_is_tested():
    script = (DEMO / "demo.js").read_text()
    assert f"onnxruntime-web@{VERSION}/" in script
    about = json.loads((DEMO / "step.json").read_text())
    wave, (first, *_) = about["check"]["inputs"], about["check"]["outputs"]
    # What comes next, of a wave that it did not learn from.
    ahead = len(first) - 1
    assert np.abs(np.array(first[:ahead]) - wave[-ahead:]).mean() < 0.05
