"""Logs: one JSON object a line, whatever is logged, and no token, query string or row in it."""

import io
import json
import logging
import logging.config
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings

from tests.accounts.portal import signed_in
from tests.people import People
from tests.tokens import calls

REFRESH = "A" * 44 + "-_" + "b" * 45
JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What the configured handler writes, with the filters and the formatter of the settings."""
    stream = io.StringIO()
    configured = settings.LOGGING["handlers"]["console"]
    formatter, scrub = settings.LOGGING["formatters"]["json"], settings.LOGGING["filters"]["scrub"]
    assert (configured["formatter"], configured["filters"]) == ("json", ["scrub"])
    configurator = logging.config.DictConfigurator({})
    handler = logging.StreamHandler(stream)
    handler.setFormatter(configurator.configure_custom({**formatter}))
    handler.addFilter(configurator.configure_custom({**scrub}))
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


def entries(written: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


@pytest.mark.parametrize(
    "name", ["django.request", "tokens.api", "celery.task", "gunicorn.error", "anything.at.all"]
)
@pytest.mark.parametrize(
    "secret", [JWT, REFRESH, f"Bearer {JWT}", f"Bearer {REFRESH}", "Bearer something-else"]
)
def test_a_token_is_removed_from_every_logger(written: io.StringIO, name: str, secret: str) -> None:
    log = logging.getLogger(name)
    log.warning("%s", secret)
    log.warning("refused: token=%s, and more", secret)
    log.warning(f"{secret}\n{secret}")  # noqa: G004 (what others do)
    log.warning({"authorization": secret})
    assert len(entries(written)) == 4
    for part in secret.split()[-1:]:
        assert part not in written.getvalue()
    assert "(removed)" in written.getvalue()


def test_a_query_string_is_removed(written: io.StringIO) -> None:
    logging.getLogger("django.request").warning(
        "Not Found: %s", "/account/login/?next=/x&token=secret-4711#f"
    )
    assert "4711" not in written.getvalue()
    assert "/account/login/" in entries(written)[0]["message"]


def test_what_a_list_is_not_filtered_by_is_removed(written: io.StringIO, people: People) -> None:
    assert signed_in(people.sam).get("/admin/accounts/user/", {"Rosa Alvarez": "x"}).status_code == 400
    assert "DisallowedModelAdminLookup" in written.getvalue()
    assert "Alvarez" not in written.getvalue()


def test_a_token_in_an_exception_or_its_cause_is_removed(written: io.StringIO) -> None:
    def fail() -> None:
        try:
            raise ValueError(JWT)
        except ValueError as error:
            raise RuntimeError(f"https://id.example/cb?code={REFRESH}") from error

    try:
        fail()
    except RuntimeError:
        logging.getLogger("x").exception("failed with %s", REFRESH)
    text = written.getvalue()
    assert JWT not in text
    assert REFRESH not in text
    assert "RuntimeError" in entries(written)[0]["exception"]


def test_the_values_of_a_row_that_the_database_refused_are_removed(written: io.StringIO) -> None:
    try:
        raise ValueError(
            "new row violates check\nDETAIL:  Failing row contains (1, Alvarez, Rosa, MRN-000001)."
        )
    except ValueError:
        logging.getLogger("x").exception("bug")
    assert "Alvarez" not in written.getvalue()
    assert "violates check" in written.getvalue()


@pytest.mark.parametrize(
    "text", ["a\nb", "a\r\nb", "a\u2028b", "a\x00b", "a\x1b[31mb", "\ud800", 'a"}\n{"level": "x']
)
def test_nobody_forges_a_second_line(
    written: io.StringIO, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    log = logging.getLogger("forged")
    # Past pytest's own handlers: what they capture must be UTF-8 to get from a worker to the report.
    monkeypatch.setattr(log, "propagate", False)
    ours = [each for each in logging.getLogger().handlers if getattr(each, "stream", None) is written]
    monkeypatch.setattr(log, "handlers", ours)
    log.warning("%s", text)
    assert len(entries(written)) == 1
    assert written.getvalue().isascii()


def test_a_log_call_that_is_wrong_raises_nothing(written: io.StringIO) -> None:
    logging.getLogger("x").warning("%d of %s", "no number")  # noqa: PLE1206 (that is the point)
    logging.getLogger("x").warning("100 %")
    assert len(entries(written)) == 2


def test_ordinary_words_stay(written: io.StringIO) -> None:
    logging.getLogger("x").info("rotated 2 keys of family 5f0d0c9e-3a07-4b9b-9d33-2f3d3f1d8f11")
    logging.getLogger("x").warning("rotated 2 keys of family 5f0d0c9e-3a07-4b9b-9d33-2f3d3f1d8f11")
    assert entries(written)[-1]["message"] == "rotated 2 keys of family 5f0d0c9e-3a07-4b9b-9d33-2f3d3f1d8f11"
    assert entries(written)[-1].keys() == {"time", "level", "logger", "message", "request_id"}


@pytest.mark.django_db
def test_refusals_and_issues_leave_no_token_in_the_log(cast: People, written: io.StringIO) -> None:
    issued = calls.obtain()
    calls.post(calls.REFRESH, {"refresh": issued["refresh"]})
    calls.post(f"{calls.VERIFY}?token={issued['access']}", {"token": issued["access"]})
    calls.post(calls.PATIENT, {}, bearer=issued["access"] + "x")
    text = written.getvalue()
    assert issued["access"] not in text
    assert issued["refresh"] not in text
    assert entries(written), "Django logs 4xx"


@pytest.fixture
def cast(people: People, signing_keys: None) -> People:
    return people
