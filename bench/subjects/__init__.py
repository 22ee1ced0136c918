"""The subjects, in the order in which they are reported; a new one is a class and a row in `line_up()`."""

from __future__ import annotations

from bench.subjects.floors import FloorSite, FourStatements, InsertAndSign, OneStatement, PatientFloor
from bench.subjects.simplejwt import SimpleJWTRefresh, SimpleJWTSite
from bench.subjects.subject import Subject, Workshop
from bench.subjects.wardkey import WardkeyPatientToken, WardkeyRefresh, WardkeySite


def line_up(workshop: Workshop) -> list[Subject]:
    """Return every subject, none of them started."""
    return [
        SimpleJWTRefresh(SimpleJWTSite(workshop, "simplejwt")),
        FourStatements(FloorSite(workshop, "floor_b")),
        OneStatement(FloorSite(workshop, "floor_c")),
        PatientFloor(FloorSite(workshop, "floor_patient")),
        InsertAndSign(FloorSite(workshop, "floor_insert")),
        WardkeyRefresh(WardkeySite(workshop, "wardkey_refresh")),
        WardkeyPatientToken(WardkeySite(workshop, "wardkey_patient")),
    ]
