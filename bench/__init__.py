"""`make bench`: Wardkey's token paths beside their peers and floors, in one run on PostgreSQL.

Read `subjects/` for what is measured, `measure.py` and `load.py` for how, `report.py` for what is printed
and which targets are judged. It talks to loopback addresses only, makes its own databases and processes,
and removes them, also on Ctrl-C.
"""
