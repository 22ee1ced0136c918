"""A running issuer, and the application that believes it, for two patients and two practitioners."""

import functools
from collections.abc import Iterator
from wsgiref.types import WSGIApplication

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from examples.fhir_server.app import create_application
from examples.fhir_server.patients_file import People
from examples.fhir_server.people import PatientSeed, PractitionerSeed, demo_patients
from tests.examples.client import Get, call
from tests.examples.issuer import OTHER_PATIENT, ROSA, Clock, Issuer, Key, ec_key, running

BASE_URL = "https://fhir.example.org/fhir"


@pytest.fixture(scope="session")
def p256() -> Key:
    return ec_key()


@pytest.fixture(scope="session")
def rsa_2048() -> Key:
    return Key(rsa.generate_private_key(65537, 2048))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def issuer(p256: Key, clock: Clock) -> Iterator[Issuer]:
    with running(Issuer(p256, BASE_URL, clock)) as issuer:
        yield issuer


@pytest.fixture(scope="session")
def synthetic_people() -> People:
    patients = [
        PatientSeed(id_, person.family, person.given, person.birth_date, person.gender, person.record_number)
        for id_, person in zip([ROSA, OTHER_PATIENT], demo_patients(2), strict=True)
    ]
    practitioners = [
        PractitionerSeed("practitioner-okafor", "Okafor", "Ada", "Doctor of Medicine"),
        PractitionerSeed("practitioner-lind", "Lind", "Jon", "Doctor of Medicine"),
    ]
    return People(patients, practitioners)


@pytest.fixture
def application(issuer: Issuer, synthetic_people: People, clock: Clock) -> WSGIApplication:
    return create_application(
        base_url=BASE_URL,
        issuer=issuer.url,
        jwks_url=issuer.jwks_url,
        verify_url=issuer.verify_url,
        resources=synthetic_people.compartment,
        timeout_seconds=0.5,
        now=clock.now,
        clock=clock.monotonic,
    )


@pytest.fixture
def get(application: WSGIApplication) -> Get:
    return functools.partial(call, application)
