#!/bin/sh
# The one-shot before each start: refuse unsafe settings, bring the database up to date as its owner, leave the
# application's role what it needs and no more, and see to it that there are keys to sign with. May be repeated.
set -eu
python manage.py check --deploy
python manage.py migrate --no-input
python manage.py restrict_database_role wardkey
python manage.py rotate_signing_keys --ensure
