"""The house rules of templates/ and static/: DESIGN.md section 7 "Templates and CSS".

The Content-Security-Policy allows script and style from this origin's files only, so a page that carries
either inline breaks in the browser and not in a unit test; these tests read the files instead. They also hold
what a reader with a screen reader needs (a label for each control, enough contrast), that no POST form lacks
its token, and that the error pages need neither a database nor a context processor.
"""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.template.loader import get_template

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
ASSETS = sorted(path for path in (ROOT / "static").rglob("*") if path.suffix in {".css", ".js", ".svg"})
ERROR_PAGES = ("400", "403", "403_csrf", "404", "429", "500", "503")

COMMENT = re.compile(r"\{#.*?#\}|\{% comment %\}.*?\{% endcomment %\}", re.DOTALL)
TAG = re.compile(r"\{%.*?%\}", re.DOTALL)
VALUE_TAG = re.compile(r"\{% (?:static|url|firstof) .*?%\}", re.DOTALL)
EXPRESSION = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
FORM = re.compile(r"<form\b[^>]*>.*?</form>", re.DOTALL | re.IGNORECASE)
FORM_METHOD = re.compile(r"<form\b[^>]*\bmethod=\"([^\"]*)\"", re.IGNORECASE)
FAR_ADDRESS = re.compile(r"(?:https?:)?//[a-z0-9]", re.IGNORECASE)
UNLABELLED_TYPES = {"hidden", "submit", "button", "reset", "image"}


def readable(source: str) -> str:
    """Return the HTML without template comments and tags, each expression as one word without quotes."""

    def as_word(match: re.Match[str]) -> str:
        return "x-" + re.sub(r"\W+", "-", match.group(1)).strip("-")

    code = VALUE_TAG.sub("x", COMMENT.sub("", source))
    return EXPRESSION.sub(as_word, TAG.sub("", code))


class Page(HTMLParser):
    """Collect what a template's HTML does against the rules, as sentences in `faults`."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.faults: list[str] = []
        self._label_depth = 0
        self._labelled_ids: set[str] = set()
        self._controls: list[tuple[str, str | None]] = []
        self.feed(readable(source))
        self.close()
        self.faults += [
            f"<{tag}> without a label"
            for tag, control_id in self._controls
            if control_id not in self._labelled_ids
        ]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "style":
            self.faults.append("<style> element")
        if tag == "script" and not given.get("src") and given.get("type") != "application/json":
            self.faults.append("<script> without src")
        for name, value in attrs:
            self._judge_attribute(tag, name, value or "")
        if tag == "label":
            self._label_depth += 1
            self._labelled_ids.add(given.get("for") or "")
        if tag in {"input", "select", "textarea"} and given.get("type") not in UNLABELLED_TYPES:
            named = "aria-label" in given or "aria-labelledby" in given
            if not named and not self._label_depth:
                self._controls.append((tag, given.get("id")))
        if tag == "img" and "alt" not in given:
            self.faults.append("<img> without alt")

    def handle_endtag(self, tag: str) -> None:
        if tag == "label":
            self._label_depth -= 1

    def _judge_attribute(self, tag: str, name: str, value: str) -> None:
        if name == "style":
            self.faults.append(f"style= on <{tag}>")
        if name.startswith("on"):
            self.faults.append(f"{name}= on <{tag}>")
        if value.strip().lower().startswith("javascript:"):
            self.faults.append(f"javascript: in {name} of <{tag}>")
        if name in {"src", "href", "action", "srcset", "poster", "data"} and FAR_ADDRESS.match(value.strip()):
            self.faults.append(f"address of another host in {name} of <{tag}>")


def form_faults(source: str) -> Iterator[str]:
    """Yield a fault for each form that may be sent by POST and has no CSRF token in it."""
    for form in FORM.findall(COMMENT.sub("", source)):
        method = FORM_METHOD.match(form)
        may_post = method is not None and method.group(1).strip().lower() not in {"", "get", "dialog"}
        if may_post and "{% csrf_token %}" not in form and "{% slot body %}" not in form:
            yield "POST form without csrf_token"


def faults_of(source: str) -> list[str]:
    """Return every rule that a template's source breaks, as sentences."""
    code = COMMENT.sub("", source)
    faults = Page(source).faults + list(form_faults(source))
    if re.search(r"\|\s*(safe|safeseq)\b", code):
        faults.append("|safe")
    if re.search(r"\{%\s*autoescape\s+off", code):
        faults.append("autoescape off")
    return faults


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ('<p style="color: red">', "style= on <p>"),
        ('<p STYLE="{{ x }}">', "style= on <p>"),
        ("<style>p {}</style>", "<style> element"),
        ("<script>run()</script>", "<script> without src"),
        ('{% if x %}<a onclick="run()">{% endif %}', "onclick= on <a>"),
        ('<a href=" JavaScript:run()">', "javascript: in href of <a>"),
        ("{{ words|safe }}", "|safe"),
        ("{% autoescape off %}{{ words }}{% endautoescape %}", "autoescape off"),
        ('<link href="https://fonts.example.org/a.css">', "address of another host in href of <link>"),
        ('<img alt="" src="//example.org/a.png">', "address of another host in src of <img>"),
        ('<form method="post"><button>Go</button></form>', "POST form without csrf_token"),
        ('<form action="/a" method="{{ method }}"></form>', "POST form without csrf_token"),
        ('<input type="text" id="a"><label for="b">B</label>', "<input> without a label"),
        ("<textarea></textarea>", "<textarea> without a label"),
        ('<img src="/a.png">', "<img> without alt"),
    ],
)
def test_a_broken_rule_is_found(source: str, fault: str) -> None:
    assert fault in faults_of(source)


@pytest.mark.parametrize(
    "source",
    [
        '{# style="x" #}<p class="lead">Words</p>',
        '<script src="{% static "js/a.js" %}" defer></script>',
        '<script type="application/json">{}</script>',
        '<form method="post">{% csrf_token %}<input type="hidden" name="a"></form>',
        '<form method="get"><label for="{{ f.id }}">F</label><input id="{{ f.id }}"></form>',
        "<label>Tick <input type='checkbox'></label>",
    ],
)
def test_a_kept_rule_is_left_alone(source: str) -> None:
    assert faults_of(source) == []


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_template_keeps_the_rules(path: Path) -> None:
    assert faults_of(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_template_compiles_and_its_static_files_exist(path: Path) -> None:
    get_template(str(path.relative_to(ROOT / "templates")))
    for name in re.findall(r"\{% static ['\"]([^'\"]+)['\"] %\}", path.read_text(encoding="utf-8")):
        assert finders.find(name), name


@pytest.mark.parametrize("path", ASSETS, ids=lambda path: str(path.relative_to(ROOT)))
def test_asset_stays_at_home(path: Path) -> None:
    source = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"(?:https?:)?//[a-z0-9-]+\.[a-z]", source), "address of another host"
    assert not re.search(r"\b(eval|innerHTML|outerHTML|insertAdjacentHTML|Function)\b", source)
    if path.suffix == ".svg":
        assert not re.search(r"<style|\sstyle=|<script|\son\w+=", source)
    for name in re.findall(r"url\(\"?([^\"):]+)\"?\)", source):
        assert (path.parent / name.partition("#")[0]).is_file(), name


@pytest.mark.parametrize("code", ERROR_PAGES)
def test_error_page_needs_no_request_and_no_database(code: str) -> None:
    page = get_template(f"{code}.html").render({"request_id": "01JD7Q2M"})

    assert "Wardkey" in page
    assert "01JD7Q2M" in page
    assert "01JD7Q2M" not in get_template(f"{code}.html").render()


@pytest.mark.parametrize("code", ERROR_PAGES)
def test_error_page_does_not_echo_the_exception(code: str) -> None:
    page = get_template(f"{code}.html").render(
        {"exception": "typed by somebody", "reason": "typed by somebody"}
    )

    assert "typed by somebody" not in page


# WCAG 2.2 §1.4.3 asks 4.5 of text, §1.4.11 asks 3 of the edge of a control and of a focus ring.
TEXT, EDGE = 4.5, 3.0
PAIRS = [
    ("ink", "ground", TEXT),
    ("ink", "surface", TEXT),
    ("ink", "sunken", TEXT),
    ("ink", "brand-soft", TEXT),
    ("ink", "notice-soft", TEXT),
    ("ink", "warning-soft", TEXT),
    ("ink", "allowed-soft", TEXT),
    ("ink", "danger-soft", TEXT),
    ("ink-quiet", "ground", TEXT),
    ("ink-quiet", "surface", TEXT),
    ("ink-quiet", "sunken", TEXT),
    ("ink-quiet", "brand-soft", TEXT),
    ("link", "ground", TEXT),
    ("link", "surface", TEXT),
    ("link", "sunken", TEXT),
    ("link", "brand-soft", TEXT),
    ("on-bar", "bar", TEXT),
    ("on-bar-quiet", "bar", TEXT),
    ("on-brand", "brand", TEXT),
    ("on-brand", "brand-strong", TEXT),
    ("on-danger", "danger", TEXT),
    ("on-danger", "danger-strong", TEXT),
    ("allowed", "allowed-soft", TEXT),
    ("warning", "warning-soft", TEXT),
    ("danger", "danger-soft", TEXT),
    ("danger", "surface", TEXT),
    ("danger", "ground", TEXT),
    ("warning", "ground", TEXT),
    ("notice", "notice-soft", TEXT),
    ("control-line", "surface", EDGE),
    ("control-line", "ground", EDGE),
    ("focus", "surface", EDGE),
    ("focus", "ground", EDGE),
    ("focus", "sunken", EDGE),
    ("on-bar-focus", "bar", EDGE),
    ("brand", "sunken", EDGE),
]


def palettes() -> dict[str, dict[str, str]]:
    """Return the colours of static/css/palette.css by scheme and name, as six hexadecimal digits."""
    light, dark = (ROOT / "static/css/palette.css").read_text(encoding="utf-8").split("@media")
    colours = [dict(re.findall(r"--([a-z-]+): #([0-9a-f]{6});", part)) for part in (light, dark)]
    return {"light": colours[0], "dark": colours[0] | colours[1]}


def luminance(colour: str) -> float:
    """Return the relative luminance of six hexadecimal digits (WCAG 2.2, "relative luminance")."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (0, 2, 4)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("front", "back", "least"), PAIRS, ids=str)
def test_contrast(scheme: str, front: str, back: str, least: float) -> None:
    colours = palettes()[scheme]
    brighter, darker = sorted((luminance(colours[front]), luminance(colours[back])), reverse=True)

    assert (brighter + 0.05) / (darker + 0.05) >= least
