"""The story, act by act. Apps speak HTTP to the running server; administrators act through the portal's operations.

Invariant: `put_back` leaves Dr Okafor with access to Rosa and nobody of the story signed in, however far it went.
Whatever is shown is short: never a whole token, never a password.
"""

import contextlib
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from django.conf import settings
from django.utils import timezone

from accounts.models import Patient, User
from accounts.operations import access_grants
from audit import context
from idp import demo
from idp.story import told_by_ledger
from idp.story.forgeries import forgeries, segments
from idp.story.wire import Answer, App, StoryBroken
from tokens import keys

SCOPE = "patient/Patient.rs patient/Observation.rs"
SECONDS_BETWEEN_READS = 0.4


class Narrator(Protocol):
    """Whoever tells the story to a person."""

    def act(self, title: str) -> None: ...

    def begin(self, doing: str) -> None: ...

    def progress(self, text: str) -> None: ...

    def end(self, came: str, *, right: bool) -> None: ...

    def line(self, text: str) -> None: ...


@dataclass(frozen=True)
class Stage:
    """Who plays, and where. `passwords` is by username; `other` is a patient whom Dr Okafor may not see."""

    address: str
    passwords: dict[str, str]
    people: dict[str, User]
    rosa: Patient
    other: Patient


class Story:
    """One telling."""

    def __init__(self, stage: Stage, narrator: Narrator) -> None:
        self.stage = stage
        self.narrator = narrator
        self.run = uuid.uuid4().hex[:12]
        self.began_at = timezone.now()
        self.app = App(stage.address, f"wardkey-demo/{self.run}")
        self.families: list[str] = []
        self.first_refresh: dict[str, str] = {}  # by username; any token of a family can end it
        self.newest_refresh = self.base = self.patient_token = ""

    def tell(self) -> None:
        """Play every act. Raises StoryBroken when one cannot be played."""
        with context.use(context.Context(user_agent=f"manage.py demo {self.run}")):
            self.an_ordinary_visit()
            self.nobody_else()
            self.tampering()
            self.rotation()
            self.refreshing()
            self.revocation()
            self.stolen_refresh_token()
            told_by_ledger.tell(self)

    def put_back(self) -> None:
        """Sign everybody out, and give Dr Okafor her access to Rosa if the story has taken it."""
        for token in self.first_refresh.values():
            with contextlib.suppress(StoryBroken):
                self.app.post("/api/token/revoke/", {"token": token})
        with context.use(context.Context(user_agent=f"manage.py demo {self.run}")):
            demo.grant_rosa(self.stage.people, self.stage.rosa, timezone.now())

    def an_ordinary_visit(self) -> None:
        self.narrator.act("Dr Okafor sees Rosa Alvarez, who is her patient")
        signed_in = self.sign_in("okafor", "Dr Okafor signs in")
        self.base = signed_in.text("access")
        given = self.ask(
            "Her app asks for a token for Rosa", lambda: self.token_for(self.stage.rosa.pk), 200,
            says=lambda answer: f"for one patient, {answer.body['purpose_of_use']}, {answer.body['expires_in']} s",
            right=lambda answer: answer.body.get("patient") == str(self.stage.rosa.pk),
        )  # fmt: skip
        self.patient_token = given.text("access")
        self.ask(
            "The FHIR server gives Rosa's record", lambda: self.read(self.stage.rosa.pk), 200,
            says=lambda answer: f"{answer.body['name'][0]['family']}, born {answer.body['birthDate']}, synthetic",
        )  # fmt: skip
        self.ask(
            "... and her laboratory results", self.observations, 200, says=latest, right=self.all_of_rosa
        )

    def nobody_else(self) -> None:
        self.narrator.act("No other clinician, and no other patient")
        lind = self.sign_in("lind", "Dr Lind, who has nothing to do with Rosa, signs in").text("access")
        refused = self.ask(
            "He asks for a token for Rosa", lambda: self.token_for(self.stage.rosa.pk, base=lind), 403
        )
        self.ask(
            "... for a patient who does not exist: the very same answer",
            lambda: self.token_for(uuid.uuid4(), base=lind), 403, right=lambda answer: answer.raw == refused.raw,
        )  # fmt: skip
        other = self.ask(
            "Dr Okafor's token for Rosa opens no other record", lambda: self.read(self.stage.other.pk), 403
        )
        self.ask(
            "... nor one that does not exist: the very same answer",
            lambda: self.read(uuid.uuid4()), 403, right=lambda answer: answer.raw == other.raw,
        )  # fmt: skip
        self.ask(
            "... nor another patient's observations",
            lambda: self.app.get(f"/fhir/Observation?patient={self.stage.other.pk}", self.patient_token), 403,
        )  # fmt: skip

    def tampering(self) -> None:
        self.narrator.act("The token is tampered with")
        published = self.app.get("/.well-known/jwks.json").body.get("keys", [])
        kid = segments(self.patient_token)[0]["kid"]
        jwk = next((jwk for jwk in published if jwk.get("kid") == kid), None)
        if jwk is None:
            raise StoryBroken("The server does not publish the key it signs with.")
        other = self.stage.other.pk
        for what, token in forgeries(self.patient_token, other_patient=str(other), jwk=jwk):
            patient = other if what.startswith("another patient") else self.stage.rosa.pk
            self.ask(what[0].upper() + what[1:], lambda: self.read(patient, token=token), 401)  # noqa: B023 (called at once)
        self.ask(
            "Her sign-in's token, which is not for this server",
            lambda: self.read(self.stage.rosa.pk, token=self.base), 401,
        )  # fmt: skip

    def rotation(self) -> None:
        self.narrator.act("The signing keys are rotated, and nobody notices")
        before = self.patient_token
        self.narrator.begin("Sam Whitfield lets the next keys sign at once")
        actions = keys.rotate(now=timezone.now(), by=self.stage.people["sam"], hurry=True, skip_wait=True)
        activated = [action.algorithm for action in actions if action.verb == "activate"]
        self.narrator.end(f"new keys: {', '.join(activated)}", right=activated == ["ES256", "RS256"])
        self.narrator.begin("Meanwhile her app goes on, until the new key signs")
        came, right = self.work_until_new_key(before)
        self.narrator.end(came, right=right)
        self.ask("A token from before the rotation", lambda: self.read(self.stage.rosa.pk, token=before), 200,
                 says=lambda _: f"signed by key {kid_of(before)}")  # fmt: skip
        self.ask("A token from after it", lambda: self.read(self.stage.rosa.pk), 200,
                 says=lambda _: f"signed by key {kid_of(self.patient_token)}",
                 right=lambda _: kid_of(self.patient_token) != kid_of(before))  # fmt: skip

    def work_until_new_key(self, before: str) -> tuple[str, bool]:
        """Ask for tokens and read with old and new ones until a new one is of another key; return what came of it."""
        began = time.monotonic()
        longest = settings.KEY_RING_POLL_SECONDS + 3
        tokens = reads = refused = 0
        while (seconds := time.monotonic() - began) < longest:
            given = self.token_for(self.stage.rosa.pk)
            tokens, refused = tokens + 1, refused + (given.status != 200)
            if given.status == 200:
                self.patient_token = given.text("access")
            for token in (self.patient_token, before):
                reads, refused = (
                    reads + 1,
                    refused + (self.read(self.stage.rosa.pk, token=token).status != 200),
                )
            came = f"{tokens} tokens, {reads} reads, {refused or 'none'} refused, {seconds:.1f} s"
            self.narrator.progress(came)
            if kid_of(self.patient_token) != kid_of(before):
                return came, refused == 0
            time.sleep(SECONDS_BETWEEN_READS)
        return f"{came}; the server still signs with the old key", False

    def refreshing(self) -> None:
        self.narrator.act("The shift goes on")
        used = self.first_refresh["okafor"]
        given = self.refresh("Her app refreshes; the refresh token is used up", used)
        self.ask(
            "The answer was lost: asked again at once, the same successor",
            lambda: self.app.post("/api/token/refresh/", {"refresh": used}), 200,
            says=lambda _: "nobody is signed out by a bad network",
            right=lambda answer: answer.body.get("refresh") == given.text("refresh"),
        )  # fmt: skip

    def revocation(self) -> None:
        self.narrator.act("Her access to Rosa is revoked")
        rosa, people = self.stage.rosa, self.stage.people
        self.narrator.begin("Vera Nowak revokes it, as the portal's button does")
        in_force = demo.grants_of_rosa(people, rosa, timezone.now())
        for grant in in_force:
            access_grants.revoke(
                grant=grant, reason="The consult is over", by=people["vera"], now=timezone.now()
            )
        self.narrator.end("revoked", right=bool(in_force))
        self.ask("The token that she holds, at once", lambda: self.read(rosa.pk), 401)
        self.ask("A new token for Rosa", lambda: self.token_for(rosa.pk), 403)
        self.ask(
            "Her own sign-in is untouched",
            lambda: self.app.post("/api/token/verify/", {"token": self.base}),
            200,
        )
        self.narrator.begin("Sam asks for her access again, and Vera approves it")
        granted = demo.grant_rosa(people, rosa, timezone.now())
        self.narrator.end(
            f"{granted.state} until {granted.ends_at:%Y-%m-%d}", right=granted.state == "active"
        )
        self.patient_token = self.ask(
            "A new token for Rosa",
            lambda: self.token_for(rosa.pk),
            200,
            says=lambda _: "she may see Rosa again",
        ).text("access")

    def stolen_refresh_token(self) -> None:
        self.narrator.act("A thief has copied an old refresh token")
        stolen = self.first_refresh["okafor"]
        newest = self.refresh("Her app refreshes once more", self.newest_refresh).text("refresh")
        self.ask("The thief presents the stolen one", lambda: self.try_refresh(stolen), 401)
        self.ask(
            "That ends the whole sign-in: her newest refresh token", lambda: self.try_refresh(newest), 401
        )
        self.ask("... and her token for Rosa", lambda: self.read(self.stage.rosa.pk), 401)

    def sign_in(self, username: str, doing: str) -> Answer:
        """Sign somebody in; the token that comes back must name no patient."""
        given = {"username": username, "password": self.stage.passwords[username]}
        answer = self.ask(
            doing, lambda: self.app.post("/api/token/", given), 200,
            says=lambda answer: f"a token that names no patient, {answer.body['expires_in']} s",
            right=lambda answer: "patient" not in segments(answer.text("access"))[1],
        )  # fmt: skip
        self.first_refresh[username] = answer.text("refresh")
        self.families.append(str(segments(answer.text("access"))[1].get("sid")))
        return answer

    def refresh(self, doing: str, token: str) -> Answer:
        """Refresh and keep the successor."""
        answer = self.ask(doing, lambda: self.try_refresh(token), 200, says=lambda _: "a new pair")
        self.base, self.newest_refresh = answer.text("access"), answer.text("refresh")
        return answer

    def try_refresh(self, token: str) -> Answer:
        return self.app.post("/api/token/refresh/", {"refresh": token})

    def token_for(self, patient: uuid.UUID, *, base: str = "") -> Answer:
        wanted = {"patient": str(patient), "purpose_of_use": "TREAT", "scope": SCOPE}
        return self.app.post("/api/token/patient/", wanted, base or self.base)

    def read(self, patient: uuid.UUID, *, token: str = "") -> Answer:
        return self.app.get(f"/fhir/Patient/{patient}", token or self.patient_token)

    def observations(self) -> Answer:
        return self.app.get("/fhir/Observation?category=laboratory&_sort=-date&_count=5", self.patient_token)

    def all_of_rosa(self, bundle: Answer) -> bool:
        """Say whether a Bundle has entries and each is about Rosa."""
        entries: list[dict[str, Any]] = bundle.body.get("entry", [])
        subjects = {entry["resource"]["subject"]["reference"] for entry in entries}
        return subjects == {f"Patient/{self.stage.rosa.pk}"}

    def ask(
        self,
        doing: str,
        call: Callable[[], Answer],
        status: int,
        *,
        says: Callable[[Answer], str] = lambda answer: answer.sentence,
        right: Callable[[Answer], bool] = lambda answer: True,
    ) -> Answer:
        """Play one step and compare what came back with what should."""
        self.narrator.begin(doing)
        answer = call()
        as_expected = answer.status == status and right(answer)
        said = says(answer) if as_expected else answer.sentence
        self.narrator.end(f"{answer.status} {said}".rstrip(), right=as_expected)
        return answer


def kid_of(token: str) -> str:
    """Return the first characters of the id of the key that signed a token."""
    return str(segments(token)[0]["kid"])[:8]


def latest(bundle: Answer) -> str:
    """Say how many observations a Bundle has found, and the first."""
    first = bundle.body["entry"][0]["resource"]
    value = first["valueQuantity"]
    return f"{bundle.body['total']} results, {first['code']['text'].split(' ')[0]} {value['value']} {value['unit']}"
