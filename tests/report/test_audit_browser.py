"""The report as a person has it before them: in Debian's Chromium, from a file, without a network."""

from __future__ import annotations

import os
import pathlib
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from infra.plan import impact
from infra.report import audit_html
from tests.report import audits

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is missing; tools/install-packages.sh test")
TIMEOUT_MS = 120_000
"""Of one wait: a browser on a machine with other work is slow to start."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The demo's report, its second level with one violation."""
    levels = (audits.audit(), audits.audit(level="rendered", violations=(audits.VIOLATION,)))
    path = tmp_path_factory.mktemp("report") / "audit.html"
    path.write_text(audit_html.render(levels, audits.demo(), impact.every(audits.demo())), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as driver:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        started = driver.chromium.launch(executable_path=CHROMIUM, args=arguments, timeout=TIMEOUT_MS)
        yield started
        started.close()


@pytest.fixture
def opened(browser: Browser, report: pathlib.Path) -> Iterator[Page]:
    """The report in a window; whatever it asks for, and whatever it complains about, fails the test."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(TIMEOUT_MS)
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(report.as_uri())
    yield page
    assert asked == [report.as_uri()]
    assert said == []
    page.close()


def test_it_begins_with_the_verdict_in_japanese(opened: Page) -> None:
    assert opened.locator("html").get_attribute("lang") == "ja"
    assert opened.title() == "分離監査報告書: 錦町・都農町 総合行政システム (一台の機械で動く見本)"
    assert opened.locator(".verdict strong").inner_text() == "✕ 不適合"
    box = opened.locator(".verdict").bounding_box()
    assert box is not None
    assert box["y"] < 900 / 2


def test_the_switch_changes_the_language_and_back(opened: Page) -> None:
    english, japanese = opened.locator("[data-language=en]"), opened.locator("[data-language=ja]")
    english.press("Enter")
    assert opened.locator("html").get_attribute("lang") == "en"
    assert opened.title().startswith("Isolation audit")
    assert opened.locator(".verdict strong").inner_text() == "✕ Fail"
    assert english.get_attribute("aria-pressed") == "true"
    seen = opened.locator("main").inner_text()
    assert "What was examined" in seen
    assert "検査した量" not in seen
    japanese.press("Space")
    assert opened.locator(".verdict strong").inner_text() == "✕ 不適合"


def test_a_cell_opens_what_passes_and_who_approved_it(opened: Page) -> None:
    cell = opened.locator("a.cell.exception").first
    cell.press("Enter")
    dialog = opened.locator("dialog")
    assert dialog.is_visible()
    seen = dialog.inner_text()
    assert dialog.locator("h2").inner_text() == "共用業務 (複数団体) → 錦町"
    assert dialog.locator(".vh").count() == 0, "hidden text is for cells alone"
    assert "service:juki@each_member -> service:zaimu" in seen
    assert "住民税の収納連携" in seen
    assert "情報政策課" in seen
    assert "2030-03-31" in seen
    assert "8443" in seen
    opened.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_a_cell_with_a_violation_opens_its_packet_and_rule(opened: Page) -> None:
    opened.locator("a.cell.violation").first.press("Enter")
    seen = opened.locator("dialog").inner_text()
    assert "錦町 → 都農町" in seen
    assert "tcp 10.1.0.1 -> 10.2.0.1:445" in seen
    assert "chain forward: tcp dport 445 accept" in seen
    opened.locator("dialog .close").press("Enter")
    assert not opened.locator("dialog").is_visible()


def test_it_prints_on_a4_with_everything_opened(opened: Page) -> None:
    paper = opened.pdf(prefer_css_page_size=True, print_background=True)
    assert paper.startswith(b"%PDF")
    assert len(paper) > 50_000
    opened.emulate_media(media="print")
    assert not opened.locator("#print").is_visible()
    assert opened.locator("#appendix").is_visible()
    opened.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert opened.locator("details:not([open])").count() == 0


@pytest.mark.parametrize("width", [1280, 390])
def test_no_page_is_wider_than_its_window(opened: Page, width: int) -> None:
    """Wide tables and the drawing scroll in frames of their own."""
    opened.set_viewport_size({"width": width, "height": 900})
    assert opened.evaluate("document.documentElement.scrollWidth") <= width


def test_it_can_be_read_without_its_script(browser: Browser, report: pathlib.Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(report.as_uri())
    page.locator("a.cell.exception").first.press("Enter")
    assert "#c" in page.url
    assert "情報政策課" in page.locator(page.url[page.url.index("#") :]).inner_text()
    context.close()


def test_text_is_dark_enough_on_its_ground(opened: Page) -> None:
    """WCAG 2.2, 1.4.3: 4.5 to 1, for all colours that the style sheet writes text in."""
    pairs = opened.evaluate(
        """() => [...document.querySelectorAll(
            "p, small, th, td, .tag, .cell, .none, .answers dt, .answers dd, button, a, code")]
          .filter((one) => one.offsetParent !== null && one.innerText.trim())
          .map((one) => {
            let back = one;
            while (back && getComputedStyle(back).backgroundColor === "rgba(0, 0, 0, 0)") back = back.parentElement;
            return [getComputedStyle(one).color, back ? getComputedStyle(back).backgroundColor : "rgb(255, 255, 255)"];
          })"""
    )
    assert len(pairs) > 200
    for text, ground in {(text, ground) for text, ground in pairs}:
        assert contrast(text, ground) >= 4.5, (text, ground)


def contrast(one: str, other: str) -> float:
    """Return the contrast of two CSS colours as WCAG defines it."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    channels = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_contrast_of_black_on_white_is_21() -> None:
    assert contrast("rgb(0, 0, 0)", "rgb(255, 255, 255)") == pytest.approx(21)
