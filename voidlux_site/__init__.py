"""The site that joins the layers; Celery finds its application here."""

from voidlux_site.celery import app as celery_app

__all__ = ["celery_app"]
