"""The page inside a notebook's frame and behind `serve`: sandboxed, and yet it works."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import chromium
import pytest
import sample_report

from tf_compleak.cli import serve
from tf_compleak.report import html

pytestmark = chromium.NEEDED


@pytest.fixture(scope="module")
def addresses(tmp_path_factory):
    """Where the page is: in a frame of a page that stands for a notebook, and served."""
    report, folder = sample_report.sample(), tmp_path_factory.mktemp("served")
    (folder / "report.html").write_text(html.render(report), encoding="utf-8")
    notebook = f"<!doctype html><title>notebook</title>{report.show()._repr_html_()}".encode()

    class Notebook(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/" else 204)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(notebook if self.path == "/" else b"")

        def log_message(self, *_):
            pass

    with (
        ThreadingHTTPServer((serve.ADDRESS, 0), Notebook) as there,
        serve.Server([str(folder)]) as s,
    ):
        for server in (there, s):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        yield {
            "frame": f"http://{serve.ADDRESS}:{there.server_port}/",
            "served": f"{s.url}0/report.html",
        }
        for server in (there, s):
            server.shutdown()


@pytest.mark.parametrize("where", ["frame", "served"])
def test_the_page_filters_and_links_and_reaches_nothing_else(where, addresses):
    complaints = []
    with chromium.sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.PROGRAM, args=["--no-sandbox"]
        )
        page = browser.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(addresses[where])
        inside = page.frames[-1]
        rows = inside.locator("#leakage tbody tr:visible")
        before = rows.count()
        inside.locator("select[name=attack]").select_option(index=2)
        assert 0 < rows.count() < before
        inside.locator("a[href='#sanity']:visible").first.click()
        page.wait_for_timeout(500)
        top = inside.evaluate("document.getElementById('sanity').getBoundingClientRect().top")
        assert -1 <= top < inside.evaluate("innerHeight")
        assert inside.evaluate("self.origin") == "null"  # no cookies, no requests to others
        assert page.url.partition("#")[0] == addresses[where]
        browser.close()
    assert not complaints
