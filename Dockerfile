# Two images: `wardkey` runs web server, worker, beat and the one-shot migrate; `proxy` ends TLS in front of them.
# Needs nothing from the network but the base images and the packages that requirements.lock names by hash.

FROM python:3.13.7-slim-bookworm AS packages
COPY requirements.lock /
RUN python -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check \
    --require-hashes --no-deps --only-binary :all: -r /requirements.lock

FROM python:3.13.7-slim-bookworm AS wardkey
# MALLOC_*: the memory of a password hash goes back to the system (idp/embedded.py).
ENV PATH=/opt/venv/bin:$PATH \
    MALLOC_ARENA_MAX=2 \
    MALLOC_MMAP_THRESHOLD_=1048576 \
    MALLOC_TRIM_THRESHOLD_=131072 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    WARDKEY_SKIP_BOOTSTRAP=1 \
    WARDKEY_DATA_DIR=/var/lib/wardkey
COPY --from=packages /opt/venv /opt/venv
WORKDIR /srv/wardkey
COPY manage.py ./
COPY crypto ./crypto
COPY audit ./audit
COPY accounts ./accounts
COPY tokens ./tokens
COPY idp ./idp
COPY templates ./templates
COPY static ./static
COPY deploy/migrate.sh ./deploy/migrate.sh
# Compiled here, because the running containers cannot write. The data folder holds the static files and nothing else.
RUN python -m compileall -q . && python manage.py collectstatic --no-input --verbosity 0
USER 10001:10001
EXPOSE 8000

FROM caddy:2.10.2-alpine AS proxy
COPY deploy/Caddyfile /etc/caddy/Caddyfile
# A fresh volume takes its owner from here, so that the proxy can keep its certificates without being root.
RUN mkdir -p /data /config && chown -R 10001:10001 /data /config
USER 10001:10001
EXPOSE 8080 8443
