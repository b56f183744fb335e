"""Django's settings, derived from the environment alone; importing them creates nothing."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from django.conf import settings as active_settings
from django.utils.functional import lazy

from voidlux_site.databases import channel_prefix, database_of
from voidlux_site.environment import require_environment
from voidlux_site.environment_types import trusted_origins
from voidlux_site.home import (
    broker_control_dir,
    broker_queue_dir,
    default_queue,
    secret_key,
)
from voidlux_site.swarm_keys import cookie_suffix

BASE_DIR = Path(__file__).resolve().parent.parent
ENVIRONMENT = require_environment()
HOME = ENVIRONMENT.home

DEBUG = False
# Read at its first use, so that looking at the code (`check`, `help`) leaves no file behind.
# Of the environment that counts then, as tests let several nodes act in one process.
SECRET_KEY = lazy(lambda: secret_key(active_settings.ENVIRONMENT), str)()

INSTALLED_APPS = [
    "daphne",
    "channels",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "ninja",
    "p2p",
    "swarm",
    "marketplace",
    "voidlux_site",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "voidlux_site.security_headers.ContentSecurityPolicyMiddleware",
    "voidlux_site.api.middleware.ApiMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "voidlux_site.forwarding.middleware.ForwardingMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
ROOT_URLCONF = "voidlux_site.urls"
ASGI_APPLICATION = "voidlux_site.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- database ------------------------------------------------------------------------------------

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": database_of(ENVIRONMENT.database_url, home=HOME, project=BASE_DIR),
}

# --- live events ---------------------------------------------------------------------------------

CHANNEL_LAYERS: dict[str, dict[str, Any]] = {
    "default": (
        {
            "BACKEND": "channels_redis.core.RedisChannelLayer",
            "CONFIG": {
                "hosts": [ENVIRONMENT.redis_url],
                "prefix": channel_prefix(ENVIRONMENT.database_url, HOME),
            },
        }
        if ENVIRONMENT.redis_url
        else {"BACKEND": "channels.layers.InMemoryChannelLayer"}
    )
}

# --- jobs ----------------------------------------------------------------------------------------

CELERY_TASK_DEFAULT_QUEUE = default_queue(HOME)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SEND_SENT_EVENT = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TIMEZONE = "UTC"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A job is a row of ours and the message only a nudge: whoever nudges does not wait for a broker
# that is gone, because the sweep nudges again.
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0.1}

if ENVIRONMENT.redis_url:
    CELERY_BROKER_URL = ENVIRONMENT.redis_url
    CELERY_TASK_ACKS_LATE = True
    CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {
        "visibility_timeout": 3600,
        # Whoever nudges waits no longer than this for a Redis that does not answer.
        "socket_connect_timeout": 2,
        # The defaults look for messages of dead workers so rarely that recovery takes 100 s.
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
    }
else:
    CELERY_BROKER_URL = "filesystem://localhost//"
    CELERY_BROKER_TRANSPORT = "voidlux_site.broker:Transport"
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(broker_queue_dir(HOME)),
        "data_folder_out": str(broker_queue_dir(HOME)),
        "control_folder": str(broker_control_dir(HOME)),
        "polling_interval": 0.1,
    }

# --- web -----------------------------------------------------------------------------------------

ALLOWED_HOSTS = [
    "localhost",
    "127.0.0.1",
    "[::1]",
    *([f"[{ENVIRONMENT.host}]"] if ":" in ENVIRONMENT.host else [ENVIRONMENT.host]),
    *ENVIRONMENT.allowed_hosts,
]
CSRF_TRUSTED_ORIGINS = trusted_origins(ENVIRONMENT.allowed_hosts)
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# What a member signed is good at every other one; a session in one member's database is not.
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
SESSION_COOKIE_AGE = 3 * 24 * 3600
SESSION_COOKIE_NAME = f"voidlux_session_{cookie_suffix(ENVIRONMENT)}"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_NAME = f"voidlux_csrf_{cookie_suffix(ENVIRONMENT)}"
CSRF_COOKIE_SAMESITE = "Lax"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "voidlux_site.operator.OperatorBackend",
]
LOGIN_URL = "login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True
# WhiteNoise hands Django a plain file; reading a small one in a thread is what we want.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous")

LANGUAGE_CODE = "en-us"
USE_I18N = False
TIME_ZONE = "UTC"
USE_TZ = True

# --- logging -------------------------------------------------------------------------------------

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "%(asctime)s %(levelname)-7s %(name)s: %(message)s"},
    },
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "line"},
    },
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        # Django's own default sends errors by mail as well.
        "django": {"handlers": [], "level": "WARNING", "propagate": True},
        # 4xx are the caller's fault: told to the caller, not to the log.
        "django.request": {"level": "ERROR"},
        "django.security.DisallowedHost": {"level": "CRITICAL"},
        **{layer: {"level": "INFO"} for layer in ("p2p", "swarm", "marketplace", "voidlux_site")},
    },
}
