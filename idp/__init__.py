"""The composition root: settings, URLs, Celery, middleware, system checks. Nobody imports it."""

from idp.celery import app as celery_app

__all__ = ["celery_app"]
