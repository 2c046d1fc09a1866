"""The page of a study: what it says, and what it does in a browser."""

import html.parser
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import sweeps.report
from sweeps.reporting.blocks import (
    Block,
    Contents,
    Curves,
    Heading,
    MissedImage,
    MissedImages,
    Paragraph,
    Picture,
    Points,
    Prose,
    Rule,
    SeedRunRow,
    SeedRuns,
)
from sweeps.reporting.chart import Bars, Chart, Grid, Plot, Series
from sweeps.reporting.html import html as as_html
from sweeps.reporting.inline import bold, code
from sweeps.reporting.page.thumbnails import as_address
from sweeps.reporting.table import Table
from tests.browser import Page, chromium
from tests.sweeps.finished import finished_study

EVIL = '<img src=x onerror="window.ran=1">"\'</script><script>window.ran=1</script>&lt;svg onload=window.ran=1>'
DRAWN = "<img src=x onerror=ran=1>"
"""In pictures, where little room is."""
ROWS = (
    ("b", "2.0 ± 9%", "1e-4", "x10"), ("a", "10.5 ± 1%", "1e-5", "x9"), ("c", "/", "3e-5", "x1"),
    ("d", "2.0 ± 1%", "0.001", "x2"),
)  # fmt: skip


def evil_page() -> str:
    """A page of every kind of block, in which each word of a user tries to become markup."""
    series = Series(name=DRAWN, x=(1.0, 2.0), y=(0.0, 1.0), hover=(DRAWN, DRAWN), runs=("0/0", "1/0"))
    charts: dict[str, Chart] = {
        "seeds": Plot(x_label=DRAWN, y_label=DRAWN, series=(series,), categories=(DRAWN, DRAWN)),
        "cost": Bars(names=(DRAWN, "b"), values=(1.0, 2.0), x_label=DRAWN),
        "confusion": Grid(
            rows=(DRAWN, "b"), columns=("c",), values=((1.0,), (2.0,)), texts=((DRAWN,), ("9",)), x_label=DRAWN,
            y_label=DRAWN, scale=DRAWN,
        ),
    }  # fmt: skip
    rows = tuple((name, value, rate, bold(code(word))) for name, value, rate, word in ROWS)
    image = MissedImage(
        name=EVIL, given=EVIL, said=((EVIL, 3),), num_missed=3, address=as_address(np.zeros((3, 8, 8), np.uint8))
    )
    blocks: list[Block] = [
        Heading(text=EVIL, level=1),
        Paragraph(lines=(EVIL,)),
        Paragraph(lines=(bold(EVIL), "second line")),
        Contents(entries=(Heading(text=EVIL, level=1), Heading(text=EVIL, level=2))),
        Heading(text=EVIL, level=2),
        Table(title=None, header=("name", "score", "lr", "word"), rows=rows, notes=(EVIL,)),
        Table(title=EVIL, header=tuple(f"a column with a long name {n}" for n in range(12)), rows=((EVIL,) * 12,) * 2),
        Prose(text=EVIL),
        Points(items=(EVIL,)),
        *(Picture(kind=kind, caption=EVIL) for kind in charts),
        SeedRuns(
            column=EVIL,
            seeds=(0, 1),
            rows=(
                SeedRunRow(trial=0, title=EVIL, cells=(("81.5%", 0.815), ("diverged", None))),
                SeedRunRow(trial=1, title="plain", cells=(("79.5%", 0.795), ("", None))),
            ),
            num_left_out=1,
            curves=Curves(
                metric=EVIL, sign="%", digits=2,
                runs={"0/0": (2, (7000, 8150, 8100)), "0/1": (None, (6000, None)), "1/0": (1, (7950,))},
            ),
        ),
        MissedImages(
            num_networks=3, num_images=9, num_by_all=1, num_by_half=30, by_all=(image,), by_half=(image,) * 24,
            where=(EVIL, code(EVIL)),
        ),
        Rule(),
        Paragraph(lines=(EVIL,)),
    ]  # fmt: skip
    return as_html(EVIL, blocks, charts)


class Tags(html.parser.HTMLParser):
    """What a page consists of."""

    def __init__(self) -> None:
        super().__init__()
        self.attributes: set[str] = set()
        self.images: list[str] = []
        self.num_scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = dict(attrs)
        self.attributes |= set(own)
        if tag == "img":
            self.images.append(own["src"] or "")
        self.num_scripts += tag == "script" and own.get("type") != "application/json"


def test_a_page_has_landmarks_captions_and_headings_in_order() -> None:
    page = evil_page()
    for part in ("<main", "<nav aria-label", "<footer", 'class="skip" href="#main"', '<html lang="en">'):
        assert page.count(part) == 1, part
    assert page.count("<table") == page.count("<caption")
    assert not re.search(r"<th(?! scope=)[ >]", page), "each header says what it is of"
    levels = [int(level) for level in re.findall(r"<h([1-6])[ >]", page)]
    assert levels[0] == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels))
    assert not re.search(r"<(?:img|svg)(?![^>]*(?:alt|aria-label)=)", page.split("<script>")[0])
    names = re.findall(r' id="([^"]*)"', page)
    assert len(names) == len(set(names))
    seen = Tags()
    seen.feed(page)
    assert not [name for name in seen.attributes if name.startswith("on")]
    assert seen.images == [address for address in seen.images if address.startswith("data:image/png;base64,")]
    assert seen.num_scripts == 1


@pytest.fixture
def evil(tmp_path: Path) -> Iterator[Page]:
    """The page above in a browser."""
    (tmp_path / "page.html").write_text(evil_page(), encoding="utf-8")
    with Page(tmp_path / "profile") as page:
        page.open(tmp_path / "page.html")
        yield page


in_browser = [pytest.mark.slow, pytest.mark.browser, pytest.mark.skipif(chromium() is None, reason="needs Chromium")]


class TestInABrowser:
    """What holds only while the page is open."""

    pytestmark = in_browser

    def test_no_word_of_a_user_runs_and_no_address_is_asked_for(self, evil: Page, tmp_path: Path) -> None:
        evil.run(
            "document.querySelectorAll('td button, svg [data-run]').forEach((b) => b.dispatchEvent(new Event('focus')))"
        )
        assert evil.run("window.ran") is None
        assert evil.complaints() == []
        address = (tmp_path / "page.html").as_uri()
        assert [asked for asked in evil.requests() if asked != address and not asked.startswith("data:")] == []
        assert evil.run("document.querySelector('h1').textContent") == EVIL
        assert evil.run("document.querySelector('figcaption .name').textContent") == EVIL

    def test_the_policy_stops_a_script_that_is_not_the_page_s_own(self, tmp_path: Path) -> None:
        path = tmp_path / "page.html"
        path.write_text(evil_page().replace("<h1", "<script>window.ran=1</script><h1", 1), encoding="utf-8")
        with Page(tmp_path / "profile") as page:
            page.open(path)
            assert page.run("window.ran") is None
            assert any("Content Security Policy" in told for told in page.complaints())
            page.run("fetch('https://example.org/').catch(() => 0)")
            page.run("document.body.append(Object.assign(new Image(), {src: 'https://example.org/a.png'}))")
            assert sum("Content Security Policy" in told for told in page.complaints()) >= 3

    def test_tables_are_sorted_by_number_and_by_word_and_back(self, evil: Page) -> None:
        def names() -> str:
            rows = "[...document.querySelectorAll('table')[0].tBodies[0].rows]"
            return str(evil.run(f"{rows}.map((row) => row.cells[0].textContent).join('')"))

        def header(column: int) -> str:
            return f"document.querySelectorAll('table')[0].tHead.rows[0].cells[{column}]"

        assert names() == "bacd"
        evil.run(f"{header(1)}.querySelector('button').focus()")
        evil.press("Enter")
        assert names() == "bdac", "equal scores stay in order, one without a number is last"
        assert evil.run(f"{header(1)}.getAttribute('aria-sort')") == "ascending"
        evil.press("Enter")
        assert names() == "abdc"
        assert evil.run(f"{header(1)}.getAttribute('aria-sort')") == "descending"
        evil.press("Enter")
        assert names() == "bacd"
        assert evil.run(f"{header(1)}.hasAttribute('aria-sort')") is False
        evil.run(f"{header(2)}.querySelector('button').click()")
        assert names() == "acbd"
        evil.run(f"{header(3)}.querySelector('button').click()")
        assert names() == "cdab", "x2 stands before x10"
        assert evil.run("document.querySelectorAll('[aria-sort]').length") == 1

    def test_a_seed_run_shows_its_curve_by_keyboard_mouse_and_touch(self, evil: Page) -> None:
        shown = "!document.getElementById('curve').hidden"
        told = "document.getElementById('curve').innerText"
        assert evil.run("document.querySelectorAll('.runs td button[tabindex=\"0\"]').length") == 1, "one stop of Tab"
        evil.run("document.querySelector('.runs thead tr').lastElementChild.querySelector('button').focus()")
        evil.press("Tab")
        assert evil.run(shown)
        assert "from 70.00% to 81.00% in 3 epochs; 81.50% at epoch 2, which was selected" in evil.run(told)
        assert evil.run("document.querySelectorAll('#curve path').length") == 2, "the other seed stands behind it"
        assert "81.50% at epoch 2" in evil.run("document.activeElement.getAttribute('aria-label')")
        evil.press("ArrowRight")
        assert evil.run("document.activeElement.dataset.run") == "0/1"
        assert "no epoch was selected" in evil.run(told)
        evil.press("ArrowLeft")
        evil.press("ArrowDown")
        assert evil.run("document.activeElement.dataset.run") == "1/0"
        assert evil.run("document.querySelector('#curve strong').textContent") == "plain, seed 0"
        evil.press("Escape")
        assert not evil.run(shown)
        evil.point("#figure-seeds [data-run='0/0']")
        assert evil.run(shown)
        assert evil.run("document.querySelector('#curve strong').textContent") == f"{EVIL}, seed 0"
        evil.press("Escape")
        point = "document.querySelector(\"#figure-seeds [data-run='1/0']\")"
        evil.run(f"{point}.dispatchEvent(new MouseEvent('click', {{bubbles: true}}))")
        assert evil.run("document.querySelector('#curve strong').textContent") == "plain, seed 0"
        assert evil.complaints() == []

    @pytest.mark.parametrize("width", [390, 320])
    def test_a_phone_scrolls_the_page_in_one_direction(self, evil: Page, width: int) -> None:
        evil.size(width, 844)
        assert evil.run("document.documentElement.scrollWidth") <= width
        assert evil.run("document.querySelectorAll('table')[1].parentElement.tabIndex") == 0, "a wide table has its own"
        evil.run("document.querySelector('.runs td button').focus()")
        evil.run("globalThis.place = document.getElementById('curve').getBoundingClientRect()")
        left, right = evil.run("[place.left, place.right]")
        assert 0 <= left < right <= width

    def test_plotly_draws_under_the_policy_or_the_page_says_what_it_lacks(self, evil: Page, tmp_path: Path) -> None:
        from sweeps.reporting.html import write_plotly

        click = "document.querySelector('#figure-cost button').click()"
        evil.run(click)
        wait = "new Promise((done) => setTimeout(done, 500))"
        evil.run(wait)
        assert "must lie beside this page" in evil.run(
            "document.querySelector('#figure-cost [role=status]').textContent"
        )
        write_plotly(tmp_path)
        evil.open(tmp_path / "page.html")
        evil.run(click)
        evil.run(
            "new Promise((done) => { const look = () => document.querySelector('.js-plotly-plot .bars') ? done() : "
            "setTimeout(look, 100); look(); })"
        )
        assert evil.complaints() == []
        assert evil.run("window.ran") is None
        evil.send("Emulation.setEmulatedMedia", media="print")
        parts = [f"getComputedStyle(document.querySelector('#figure-cost {part}'))" for part in (".scroll", ".moving")]
        shown = [evil.run(f"{part}.display") for part in parts]
        assert shown == ["block", "none"], "paper has the picture"


@pytest.mark.slow
def test_the_page_of_a_study_shows_curves_and_the_images_that_networks_miss(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = finished_study(tmp_path, epochs=1)
    words = ["study=drawn", "format=html", "figures=seeds", f"run.out={tmp_path}"]
    assert sweeps.report.main([*words, f"run.cache={tmp_path / 'cache'}"]) == 0
    page = Path(capsys.readouterr().out.strip()).read_text(encoding="utf-8")
    assert len(re.findall(r'<td[^>]* data-run="\d/\d"', page)) == 4
    assert len(re.findall(r'<use[^>]* data-run="\d/\d"', page)) == 4
    assert "spends the test set" in page
    images = data.load()
    names = [Path(images.names[place]) for place in images.splits["test"]]
    shown = re.findall(r'<img src="(data:image/[^"]*)" alt="Test image ([^,]*), given as (\w+)"', page)
    assert shown
    assert {(name.parent.name, name.name) for name in names} >= {(given, Path(name).name) for _, name, given in shown}
    for address, name, _ in shown:
        place = images.splits["test"][[f"{own.parent.name}/{own.name}" for own in names].index(name)]
        assert address == as_address(images.pixels_NCHW[place])
    assert str(tmp_path / "images") not in page.split("What was done")[0], "names are told without the user's folders"

    # without the cache the files are shown, and without these their names stand alone
    assert sweeps.report.main([*words, f"run.cache={tmp_path / 'empty'}"]) == 0
    page = Path(capsys.readouterr().out.strip()).read_text(encoding="utf-8")
    assert "as their files are today" in page
    assert page.count("<img ") == len(shown)
    (tmp_path / "images").rename(tmp_path / "gone")
    assert sweeps.report.main([*words, f"run.cache={tmp_path / 'empty'}"]) == 0
    page = Path(capsys.readouterr().out.strip()).read_text(encoding="utf-8")
    assert "cannot be shown" in page
    assert page.count("<img ") == 0
    assert page.count('<span class="name">') == len(shown)
