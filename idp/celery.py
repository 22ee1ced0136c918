"""The Celery application. Every task is a door to an operation; every argument is an id."""

import os
from typing import Any

from celery import Celery
from celery.signals import celeryd_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "idp.settings")
app = Celery("wardkey")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


def refuse_without_secrets(**kwargs: Any) -> None:
    """End a worker that could not open what the web server sealed, as idp.wsgi does; beat needs no secret."""
    from django.conf import settings

    if settings.SECRETS_MISSING:
        raise SystemExit(f"The worker needs {', '.join(settings.SECRETS_MISSING)}, or their _FILE.")


celeryd_init.connect(refuse_without_secrets)
