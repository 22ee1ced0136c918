"""The Celery application. Every task is a door to an operation; every argument is an id."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "idp.settings")
app = Celery("wardkey")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
