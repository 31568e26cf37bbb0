"""The page in Chromium: with its script, without it, narrow, dark, on paper; axe-core on all of it.

Needs the extra `browser` and a Chromium on the path (or in CHROMIUM); skipped, with the reason,
where one of them is missing.
"""

from __future__ import annotations

import re

import chromium
import pytest
from sample_report import full, large

from tf_compleak.report import html

pytestmark = chromium.NEEDED
ROWS = "#leakage tbody tr"
VISIBLE = "rows => rows.filter(row => row.getClientRects().length).map(row => row.id)"


@pytest.fixture(scope="module")
def browser():
    with chromium.sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.PROGRAM, args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(html.render(large(versions=4, attacks=3, classes=30)), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def opened(browser, address):
    """Opens the page, or a place in it; whatever the console says against it fails the test."""
    contexts, complaints = [], []

    def opening(place="", width=1400, **settings):
        context = browser.new_context(viewport={"width": width, "height": 900}, **settings)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(address + place)
        return page

    yield opening
    for context in contexts:
        context.close()
    assert not complaints


def shown(page, rows=ROWS):
    return page.eval_on_selector_all(rows, VISIBLE)


def column(page, number):
    return page.locator(f"{ROWS} > :nth-child({number})").all_inner_texts()


def test_a_column_is_sorted_and_put_back(opened):
    page = opened()
    before, head = column(page, 1), page.locator("#leakage thead th").nth(4)
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    figures = [float(text.split()[0]) for text in column(page, 5)]
    assert figures == sorted(figures, reverse=True) and column(page, 1) != before
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert [float(text.split()[0]) for text in column(page, 5)] == sorted(figures)
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") is None and column(page, 1) == before


def test_sizes_are_sorted_by_bytes_and_names_by_their_letters(opened):
    page = opened()
    heads = page.locator("table:has(#version-0) thead th")
    heads.filter(has_text="gzip").get_by_role("button").click()
    cells = page.locator("[id^=version-] td[data-sort]:nth-last-child(2)")
    sizes = [int(cell.get_attribute("data-sort")) for cell in cells.all()]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) > 1
    heads.first.get_by_role("button").click()
    names = [text.strip() for text in page.locator("[id^=version-] th").all_inner_texts()]
    assert names == sorted(names)


def test_rows_are_filtered_and_the_address_tells_how(opened):
    page = opened()
    assert len(shown(page)) == page.locator(ROWS).count()
    page.get_by_role("radio", name="SR").check()
    page.locator("select[name=version]").select_option(label="version-2")
    page.locator("select[name=attack]").select_option(label="attack-1")
    (row,) = shown(page)
    cells = page.locator(f"#{row}").inner_text()
    assert "original + version-2" in cells and "attack-1" in cells
    assert page.locator("#count").inner_text().startswith("1 of ")
    assert page.url.endswith("#tier=SR&version=version-2&attack=attack-1")
    again = opened(page.url[page.url.index("#") :])
    assert shown(again) == [row]
    again.get_by_role("button", name="Clear").click()
    again.wait_for_function("document.querySelector('#count').textContent.startsWith('2')")
    assert len(shown(again)) == again.locator(ROWS).count()


def test_a_version_is_highlighted_everywhere(opened):
    page = opened()
    page.locator("#version-2 a.pick").click()
    assert "mark=version%3Aversion-2" in page.url
    drawings = (".figures svg [data-v]", "figure[aria-label=Versions] svg g")
    for place in (ROWS, "#version-2", *drawings):
        assert page.locator(f"{place}.marked").count()
    versions_of = "marked => marked.map(of => of.dataset.v)"
    marked = page.locator("tr.marked, svg .marked").evaluate_all(versions_of)
    assert all("2" in versions.split() for versions in marked)
    drawn = page.locator("svg [data-v='1']").first
    assert drawn.evaluate("of => getComputedStyle(of).opacity") == "0.15"
    page.keyboard.press("Escape")
    assert not page.locator(".marked").count()
    drawn.dispatch_event("click")
    assert "mark=version%3Aversion-1" in page.url
    page.locator(f"{ROWS} a.pick", has_text="attack-0").first.click()
    assert page.locator("svg .marked").count() and "mark=attack%3Aattack-0" in page.url


def test_hovering_tells_interval_and_n(opened):
    page = opened()
    (title,) = page.locator("svg [data-v='1'] > title").all_text_contents()[:1]
    assert re.search(r"AUC 0\.\d+ \[0\.\d+, 0\.\d+\], 95% interval, n = [\d,]+", title)
    assert "n = " in page.locator(f"{ROWS} td[title]").first.get_attribute("title")


def test_a_link_leads_to_a_row_also_one_that_is_filtered(opened):
    page = opened("#row-5")
    page.wait_for_function("document.activeElement.closest('tr')?.id === 'row-5'")
    assert page.locator("#row-5").is_visible()
    page.get_by_role("radio", name="MR").check()
    assert not page.locator("#row-5").is_visible()
    page.evaluate("location.hash = '#row-5'")
    page.locator("#row-5").wait_for(state="visible")
    page.evaluate("location.hash = '#gains'")
    page.locator("details:has(#gains)[open]").wait_for()


@pytest.mark.parametrize("place", ["#%3Cimg%3E", "#tier=<b>&version=%22&mark=", "#=", "#a:b[c]"])
def test_a_strange_address_changes_nothing(opened, place):
    page = opened(place)
    assert len(shown(page)) == page.locator(ROWS).count()


def test_a_table_is_one_stop_and_arrows_move_in_it(opened):
    page = opened()
    stops = "links => links.filter(link => link.tabIndex === 0).length"
    assert page.locator(f"{ROWS} a").evaluate_all(stops) == 1
    page.locator(f"{ROWS} a").first.focus()
    rows = shown(page)
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.closest('tr').id") == rows[1]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert "mark=version" in page.url
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.closest('tr').id") == rows[0]
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.closest('tr').id") == rows[0]


def test_slices_are_a_chart_with_a_search(opened):
    page = opened()
    assert not page.locator("#slice-rows table").is_visible()
    drawn = "svg [data-find]:not(.apart)"
    assert page.locator(drawn).count() == 90
    page.get_by_role("searchbox").fill("class=7")
    assert page.locator(drawn).count() == 3
    assert page.locator("#matches").inner_text() == "3 slices match"
    page.locator("#slice-rows summary").click()
    assert len(shown(page, "#slice-rows tbody tr")) == 3


def test_without_a_script_tiers_and_links_work_and_nothing_is_missing(opened):
    page = opened(java_script_enabled=False)
    assert not page.locator("#theme, select, #count, .sort").filter(visible=True).count()
    before = page.locator(ROWS).filter(visible=True).count()
    page.get_by_role("radio", name="MR").check()
    after = page.locator(ROWS).filter(visible=True)
    assert 0 < after.count() < before
    assert {row.get_attribute("data-tier") for row in after.all()} == {"MR"}
    page.locator("#slice-rows summary").click()
    assert page.locator("#slice-rows table").is_visible()


@pytest.mark.parametrize("width", [1400, 400])
def test_a_page_is_as_wide_as_its_window(opened, width):
    page = opened(width=width)
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_the_theme_is_the_systems_until_it_is_changed(opened):
    page = opened(color_scheme="dark")
    colour = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(colour)
    page.get_by_role("button", name="Dark or light").click()
    light = page.evaluate(colour)
    assert dark == "rgb(20, 23, 27)" and light == "rgb(245, 246, 248)"
    page.emulate_media(media="print")
    assert page.evaluate(colour) == "rgb(255, 255, 255)"


def test_on_paper_no_table_is_cut_and_all_is_light(opened):
    page = opened(color_scheme="dark", width=703)  # A4 within its margins
    page.locator("details").evaluate_all("all => all.forEach(of => { of.open = true; })")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    cut = "all => all.filter(of => of.scrollWidth > of.parentElement.clientWidth).length"
    assert page.locator("table, svg").evaluate_all(cut) == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 703
    assert not page.locator("#controls").is_visible()
    paper = page.pdf(prefer_css_page_size=True)
    assert paper.startswith(b"%PDF") and b"/MediaBox [0 0 594.9" in paper  # points: A4


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 400])
def test_axe_finds_nothing(browser, address, tmp_path, scheme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    settings = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    context = browser.new_context(bypass_csp=True, **settings)  # axe's own script is a second one
    page = context.new_page()
    (tmp_path / "full.html").write_text(html.render(full()), encoding="utf-8")
    for place in (address, (tmp_path / "full.html").as_uri()):
        page.goto(place)
        page.locator("details").evaluate_all("all => all.forEach(of => { of.open = true; })")
        found = axe.run(page).response["violations"]
        assert not [(of["id"], of["impact"], of["nodes"][0]["html"][:300]) for of in found]
    context.close()
