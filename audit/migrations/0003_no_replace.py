"""Refuse SQLite's REPLACE on the ledger."""

from django.db import migrations

from audit import append_only


class Migration(migrations.Migration):
    dependencies = [("audit", "0002_append_only")]
    operations = [migrations.RunPython(append_only.refuse_replacing, append_only.allow_replacing)]
