# The developer's chores. `python3 manage.py tool` runs a program of .venv, which it builds first if need be.
TOOL = python3 manage.py tool
LOCK = uv pip compile --universal --generate-hashes --python-version 3.11 --no-header --no-annotate pyproject.toml
PRODUCTION = WARDKEY_ISSUER=https://id.hospital.example WARDKEY_TRUSTED_PROXY_COUNT=1 \
	DATABASE_URL=postgresql://wardkey@db/wardkey REDIS_URL=redis://cache/0 CELERY_BROKER_URL=redis://queue/0

.PHONY: up test check bench lock

up: ; python3 manage.py up
test: ; python3 manage.py test
bench: ; $(TOOL) python -m bench
check:
	$(TOOL) ruff check .
	$(TOOL) ruff format --check .
	$(TOOL) mypy
	$(TOOL) lint-imports
	$(TOOL) bandit --quiet --recursive --severity-level medium --configfile pyproject.toml crypto audit accounts tokens idp
	$(TOOL) python manage.py check --fail-level WARNING
	$(TOOL) python manage.py makemigrations --check --dry-run
	$(PRODUCTION) $(TOOL) python manage.py check --deploy --fail-level WARNING
lock: # needs uv
	$(LOCK) -o requirements.lock
	$(LOCK) --group test -o requirements-test.lock
