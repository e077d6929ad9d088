"""Settings, read from the environment alone.

Every variable of ours starts with ``EXEC_``; an unknown one, or one whose value cannot be read, stops the start with
a sentence that says what to do. A secret may be given as ``NAME`` or as ``NAME_FILE``, the path of a file that holds
it. ``.env.example`` lists them all with comments.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import environ
import structlog
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent

DEVELOPMENT_SECRET_KEY = "development-only-secret-key-never-used-in-production"  # noqa: S105  refused by exec.E001
DEVELOPMENT_ENCRYPTION_KEY = "dev:ZGV2ZWxvcG1lbnQtb25seS1lbmNyeXB0aW9uLWtleSE="

env = environ.Env()
_env_file = BASE_DIR / ".env"
if _env_file.is_file() and os.environ.get("EXEC_READ_DOTENV", "1") == "1":
    env.read_env(str(_env_file))

KNOWN_VARIABLES = {
    "EXEC_READ_DOTENV",
    "EXEC_ENV",
    "EXEC_DEBUG",
    "EXEC_DATA_DIR",
    "EXEC_SECRET_KEY",
    "EXEC_SECRET_KEY_FALLBACKS",
    "EXEC_ENCRYPTION_KEYS",
    "EXEC_EMERGENCY_KIT",
    "EXEC_EMERGENCY_PASSPHRASE",
    "EXEC_HEARTBEAT_FILE",
    "EXEC_ALLOWED_HOSTS",
    "EXEC_DATABASE_ROLE",
    "EXEC_HOST",
    "EXEC_PORT",
    "EXEC_SIMULATOR_PORT",
    "EXEC_WEB_WORKERS",
    "EXEC_WEB_THREADS",
    "EXEC_TRUSTED_PROXIES",
    "EXEC_SUBMIT_WORKERS",
    "EXEC_CANCEL_WORKERS",
    "EXEC_PROBE_WORKERS",
    "EXEC_HOUSEKEEPING_WORKERS",
    "EXEC_LOG_LEVEL",
    "EXEC_LOG_FORMAT",
    "EXEC_REPORTING_CURRENCY",
    "EXEC_SUSPENSE_LIMIT",
    "EXEC_MARK_MAX_AGE",
    "EXEC_MARK_JUMP",
    "EXEC_RAMP_PERCENT",
    "EXEC_RAMP_HOURS",
    "EXEC_DEMO",
    "EXEC_SUPERVISED_BY",
    "EXEC_FAULT_HOOK",
    "EXEC_PAPER_MARKET",
    "EXEC_LIVE_TRADING",
    "EXEC_VERSION",
}


def _refuse_unknown_variables() -> None:
    for name in os.environ:
        if not name.startswith("EXEC_"):
            continue
        if name.removesuffix("_FILE") in KNOWN_VARIABLES:
            continue
        raise ImproperlyConfigured(f"Unknown environment variable {name}: see .env.example for the known ones.")


def _read(name: str, default: str) -> str:
    """The variable's text, or that of the file named by ``<name>_FILE``; both at once is an error."""
    path = os.environ.get(f"{name}_FILE")
    if path is None:
        return os.environ.get(name, default)
    if name in os.environ:
        raise ImproperlyConfigured(f"Set {name} or {name}_FILE, not both.")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ImproperlyConfigured(f"{name}_FILE names {path}, which cannot be read: {error.strerror}.") from error


def _choice(name: str, default: str, choices: set[str]) -> str:
    value = _read(name, default)
    if value not in choices:
        raise ImproperlyConfigured(f"{name} is {value!r}; it must be one of {', '.join(sorted(choices))}.")
    return value


def _whole(name: str, default: int, low: int, high: int) -> int:
    value = _read(name, str(default))
    if not (value.isascii() and value.isdigit() and low <= int(value) <= high):
        raise ImproperlyConfigured(f"{name} is {value!r}; it must be a whole number from {low} to {high}.")
    return int(value)


def _flag(name: str, default: bool) -> bool:
    return _choice(name, "true" if default else "false", {"true", "false"}) == "true"


def _words(name: str, default: str) -> list[str]:
    return [word.strip() for word in _read(name, default).split(",") if word.strip()]


def default_data_dir(base_dir: Path) -> Path:
    """Where data lives when EXEC_DATA_DIR is unset.

    Never under a private home of root: the embedded server makes every parent directory of its folder readable.
    """
    home = Path.home()
    if os.geteuid() == 0 and base_dir.is_relative_to(home):
        mark = hashlib.sha256(str(base_dir).encode()).hexdigest()[:12]
        return Path("/var/tmp") / f"execution-engine-{mark}"  # noqa: S108  kept across reboots, owned by this user
    return base_dir / ".data"


_refuse_unknown_variables()

EXEC_ENV = _choice("EXEC_ENV", "development", {"development", "production"})
DEBUG = _flag("EXEC_DEBUG", False)
EXEC_DATA_DIR = Path(_read("EXEC_DATA_DIR", str(default_data_dir(BASE_DIR))))
SECRET_KEY = _read("EXEC_SECRET_KEY", DEVELOPMENT_SECRET_KEY if EXEC_ENV == "development" else "")
SECRET_KEY_FALLBACKS = _words("EXEC_SECRET_KEY_FALLBACKS", "")
EXEC_ENCRYPTION_KEYS = _words("EXEC_ENCRYPTION_KEYS", DEVELOPMENT_ENCRYPTION_KEY if EXEC_ENV == "development" else "")
ALLOWED_HOSTS = _words("EXEC_ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]")
EXEC_HOST = _read("EXEC_HOST", "127.0.0.1")
EXEC_PORT = _whole("EXEC_PORT", 8000, 0, 65535)
EXEC_SIMULATOR_PORT = _whole("EXEC_SIMULATOR_PORT", 8900, 0, 65535)
EXEC_WEB_WORKERS = _whole("EXEC_WEB_WORKERS", 2, 1, 64)
EXEC_WEB_THREADS = _whole("EXEC_WEB_THREADS", 8, 2, 256)
# proxies between the clients and the web server that set X-Forwarded-For; 0: the peer's address is the client's
EXEC_TRUSTED_PROXIES = _whole("EXEC_TRUSTED_PROXIES", 0, 0, 8)
EXEC_REPORTING_CURRENCY = _read("EXEC_REPORTING_CURRENCY", "USDT")
# worth, in the reporting currency, of what may be unexplained in one account before it is told
EXEC_SUSPENSE_LIMIT = _whole("EXEC_SUSPENSE_LIMIT", 100, 0, 10**12)
# seconds after which a quote is no mark any more
EXEC_MARK_MAX_AGE = _whole("EXEC_MARK_MAX_AGE", 15, 1, 60)
# per cent by which a mark may move between two valuations and still set a high-water mark at once
EXEC_MARK_JUMP = _whole("EXEC_MARK_JUMP", 3, 1, 100)
# per cent of money limits that count after a live account was armed or a kill was lifted, and for how many hours;
# 100: all of them, at once
EXEC_RAMP_PERCENT = _whole("EXEC_RAMP_PERCENT", 100, 1, 100)
EXEC_RAMP_HOURS = _whole("EXEC_RAMP_HOURS", 72, 1, 24 * 366)
EXEC_DEMO = _flag("EXEC_DEMO", True)
EXEC_FAULT_HOOK = _read("EXEC_FAULT_HOOK", "")
# The mode whose market paper accounts trade in, as the engine keeps it anyway.
EXEC_PAPER_MARKET = _choice("EXEC_PAPER_MARKET", "sandbox", {"sandbox", "live"})
# Live accounts send orders only where this says so and they were armed (arm_live).
EXEC_LIVE_TRADING = _flag("EXEC_LIVE_TRADING", False)
EXEC_VERSION = _read("EXEC_VERSION", "")
EXEC_EMERGENCY_KIT = _read("EXEC_EMERGENCY_KIT", "")
EXEC_EMERGENCY_PASSPHRASE = _read("EXEC_EMERGENCY_PASSPHRASE", "")
if EXEC_EMERGENCY_KIT and not EXEC_EMERGENCY_PASSPHRASE:
    raise ImproperlyConfigured(
        "EXEC_EMERGENCY_KIT needs EXEC_EMERGENCY_PASSPHRASE (or EXEC_EMERGENCY_PASSPHRASE_FILE)."
    )
EXEC_HEARTBEAT_FILE = _read("EXEC_HEARTBEAT_FILE", str(EXEC_DATA_DIR / "run" / "heartbeat"))

# ---------------------------------------------------------------------------------------------------------- database


def _database_url() -> str:
    """DATABASE_URL, else the URL that the supervisor leaves beside the embedded server it started."""
    url = _read("DATABASE_URL", "")
    if url:
        return url
    left = EXEC_DATA_DIR / "run" / "database-url"
    return left.read_text(encoding="utf-8").strip() if left.is_file() else ""


_url = _database_url()
EXEC_DATABASE_CONFIGURED = bool(_url)
EXEC_DATABASE_URL = _url
# "exec_engine" for everything that trades, empty (the owner) for migrations: see execution_project.roles
EXEC_DATABASE_ROLE = _choice("EXEC_DATABASE_ROLE", "exec_engine", {"exec_engine", ""})
# A migration of the owner may take as long as it needs, but waits for no lock longer than the engine can.
_statement_timeout = "15s" if EXEC_DATABASE_ROLE else "0"
_options: dict[str, Any] = {
    "options": f"-c lock_timeout=3s -c statement_timeout={_statement_timeout}"
    " -c idle_in_transaction_session_timeout=15s",
    "connect_timeout": 3,
    # the gate's reads ask to be prepared (risk.reading); everything else is sent as text and never is
    "prepare_threshold": 1_000_000,
    # a database host that vanishes without a word is noticed within seconds, not after TCP's quarter of an hour
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
if EXEC_DATABASE_ROLE:
    _options["assume_role"] = EXEC_DATABASE_ROLE

DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        **(environ.Env.db_url_config(_url) if _url else {"ENGINE": "django.db.backends.postgresql", "NAME": "unset"}),
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
    }
}
DATABASES["default"].setdefault("OPTIONS", {}).update(_options)
if "postgresql" not in DATABASES["default"]["ENGINE"]:
    raise ImproperlyConfigured("DATABASE_URL must name a PostgreSQL database; the engine supports no other.")
if "pool" in DATABASES["default"]["OPTIONS"]:
    raise ImproperlyConfigured("DATABASE_URL must not turn on pooling: forked workers would share sockets.")

# --------------------------------------------------------------------------------------------------------------- apps

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "execution_project.back_office.apps.BackOfficeConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_q",
    "execution_project.common",
    "exchanges",
    "positions",
    "risk",
    "orders",
    "execution_project",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "execution_project.back_office.content_security_policy.ContentSecurityPolicyMiddleware",
    "execution_project.common.requests.RequestIdMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "execution_project.urls"
WSGI_APPLICATION = "execution_project.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # before unfold's, whose frame we extend
        "DIRS": [BASE_DIR / "execution_project" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
DATETIME_FORMAT = "Y-m-d H:i:s"
STATIC_URL = "/static/"
STATIC_ROOT = EXEC_DATA_DIR / "static"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
DATA_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024
APPEND_SLASH = False

# ------------------------------------------------------------------------------------------------------------ security

if EXEC_ENV == "production":
    SECURE_SSL_REDIRECT = True
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = 8 * 3600
X_FRAME_OPTIONS = "DENY"
LOGIN_REDIRECT_URL = "/admin/"
CSRF_FAILURE_VIEW = "execution_project.back_office.pages.csrf_failure"

# --------------------------------------------------------------------------------------------------------------- admin

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Execution engine",
    "SITE_HEADER": "Execution engine",
    "SITE_SYMBOL": "bolt",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": "execution_project.back_office.navigation.favicon"}
    ],
    "COLORS": {
        "primary": {
            "50": "oklch(97% .014 254.604)",
            "100": "oklch(93.2% .032 255.585)",
            "200": "oklch(88.2% .059 254.128)",
            "300": "oklch(80.9% .105 251.813)",
            "400": "oklch(70.7% .165 254.624)",
            "500": "oklch(62.3% .214 259.815)",
            "600": "oklch(54.6% .245 262.881)",
            "700": "oklch(48.8% .243 264.376)",
            "800": "oklch(42.4% .199 265.638)",
            "900": "oklch(37.9% .146 265.522)",
            "950": "oklch(28.2% .091 267.935)",
        },
    },
    "SITE_URL": None,
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "STYLES": ["execution_project.back_office.navigation.style"],
    "SCRIPTS": ["execution_project.back_office.navigation.script"],
    "SIDEBAR": {"navigation": "execution_project.back_office.navigation.sidebar"},
}

# ----------------------------------------------------------------------------------------------------------------- API

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["execution_project.common.api.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["execution_project.common.api.authentication.HasRight"],
    "DEFAULT_PARSER_CLASSES": ["execution_project.common.api.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "EXCEPTION_HANDLER": "execution_project.common.api.errors.problem_response",
    "DEFAULT_METADATA_CLASS": "execution_project.common.api.authentication.Methods",
    "UNAUTHENTICATED_USER": None,
    "DATETIME_FORMAT": "iso-8601",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Execution engine",
    "DESCRIPTION": "Places, follows and cancels spot orders. Decimals are strings, times RFC 3339 in UTC, errors"
    " `application/problem+json` (RFC 9457) with a stable `code`.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SCHEMA_PATH_PREFIX": "/api/exec",
    "COMPONENT_SPLIT_REQUEST": True,
    # without the stock hook enumerations stay where they are used: names made up for them change with every new one
    "POSTPROCESSING_HOOKS": ["execution_project.common.api.schema.finish"],
    "ENABLE_DJANGO_DEPLOY_CHECK": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "persistAuthorization": False, "tryItOutEnabled": False},
}

# --------------------------------------------------------------------------------------------------------------- queues
# Per exchange a queue for submits, one for cancels and replaces, one for questions about single orders and for kills,
# one for what is read from it, and one for the books: an exchange that hangs, or a question that it does not answer,
# never holds up a cancel, the other exchange or the books. With queue_limit = workers a pulled task may wait for two
# others, so retry must be three timeouts and ten seconds: see check exec.E010.

EXEC_QUEUES: dict[str, dict[str, int]] = {
    "submit-binance": {"workers": _whole("EXEC_SUBMIT_WORKERS", 2, 1, 64), "timeout": 30, "retry": 105},
    "submit-btcturk": {"workers": _whole("EXEC_SUBMIT_WORKERS", 2, 1, 64), "timeout": 30, "retry": 105},
    "cancel-binance": {"workers": _whole("EXEC_CANCEL_WORKERS", 2, 1, 64), "timeout": 30, "retry": 105},
    "cancel-btcturk": {"workers": _whole("EXEC_CANCEL_WORKERS", 2, 1, 64), "timeout": 30, "retry": 105},
    "probe-binance": {"workers": _whole("EXEC_PROBE_WORKERS", 2, 1, 64), "timeout": 60, "retry": 195},
    "probe-btcturk": {"workers": _whole("EXEC_PROBE_WORKERS", 2, 1, 64), "timeout": 60, "retry": 195},
    "housekeeping-binance": {"workers": _whole("EXEC_HOUSEKEEPING_WORKERS", 2, 1, 64), "timeout": 60, "retry": 195},
    "housekeeping-btcturk": {"workers": _whole("EXEC_HOUSEKEEPING_WORKERS", 2, 1, 64), "timeout": 60, "retry": 195},
    "housekeeping": {"workers": 1, "timeout": 60, "retry": 195},
}
Q_CLUSTER: dict[str, Any] = {
    "name": "exec",
    "orm": "default",
    "broker_class": "execution_project.broker.NotifyBroker",
    "workers": 1,
    "queue_limit": 1,
    "bulk": 1,
    "poll": 1,
    "timeout": 30,
    "retry": 105,
    "ack_failures": True,
    "max_attempts": 1,
    "catch_up": False,
    # successes are not saved: a task is only a doorbell, and keeping n rows costs reading all n for each new one
    "save_limit": -1,
    "recycle": 5000,
    "scheduler": False,
    "label": "Task queue",
    "ALT_CLUSTERS": {name: {**queue, "queue_limit": queue["workers"]} for name, queue in EXEC_QUEUES.items()},
}

# What the ticker calls once when it begins to lead, before any tick, until it succeeded.
EXEC_ON_BOOT = "orders.boot.boot"
# What the ticker calls, and every how many seconds: dotted path of a function without arguments that only looks into
# the database and rings queues.
EXEC_TICKS: dict[str, float] = {
    "orders.sweeping.ring_due_commands": 0.5,
    "orders.sweeping.expire_stale_intents": 1,
    "orders.sweeping.recover_silent_claims": 5,
    "orders.sweeping.resume_answered_commands": 5,
    "orders.killing.cancel_in_latched_scopes": 2,
    "orders.tripped.cancel_what_increases": 1,
    "orders.monitors.repeated_execution.watch": 2,
    "orders.monitors.reject_storm.watch": 1,
    "orders.monitors.output_equals_input.watch": 15,
    "risk.monitors.loss_streak.watch": 2,
    "risk.monitors.volatility.watch": 1,
    "orders.killing.ring_sweeps": 1,
    "orders.flattening.ring_flattens": 1,
    "orders.sweeping.ring_probes": 1,
    "orders.sweeping.ring_following": 2,
    "orders.sweeping.ring_market_data": 1,
    "orders.sweeping.ring_account_data": 15,
    "orders.sweeping.ring_instruments": 300,
    "orders.boot.ring_boot_reconciliations": 1,
    "orders.reconciling_schedule.ring_order_reconciliations": 30,
    "orders.reconciling_schedule.ring_trade_reconciliations": 15,
    "orders.reconciling_schedule.watch_books": 5,
    "orders.sweeping.ring_paper_matching": 0.5,
    "orders.comparing_reservations.compare_reservations": 60,
    "orders.sweeping.prune_counters": 600,
    "orders.confidence.note_confidence": 2,
    "positions.tasks.ring_restating": 1,
    "positions.tasks.ring_missing_rates": 5,
    "positions.tasks.ring_book_checks": 60,
    "positions.marks.keep_minute": 5,
    "positions.marks.thin_marks": 600,
    "positions.equity.value_what_is_due": 0.5,
    "positions.equity.thin_points": 3600,
    "risk.windows.sum_quarters": 15,
    "risk.monitors.losses.watch_losses": 1,
    "risk.monitors.stops.watch_stops": 1,
    "risk.alerts.escalate_unacknowledged": 5,
}

# -------------------------------------------------------------------------------------------------------------- logging

EXEC_LOG_FORMAT = _choice("EXEC_LOG_FORMAT", "json" if EXEC_ENV == "production" else "console", {"json", "console"})
EXEC_LOG_LEVEL = _choice("EXEC_LOG_LEVEL", "INFO", {"DEBUG", "INFO", "WARNING", "ERROR"})
_shared_processors: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
_renderer: Any = (
    structlog.processors.JSONRenderer()
    if EXEC_LOG_FORMAT == "json"
    else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
)
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "structured": {
            "()": structlog.stdlib.ProcessorFormatter,
            "processors": [
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _renderer,
            ],
            "foreign_pre_chain": _shared_processors,
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
    "root": {"handlers": ["stderr"], "level": EXEC_LOG_LEVEL},
    "loggers": {
        "django-q": {"handlers": [], "level": "WARNING", "propagate": True},
        "urllib3": {"level": "WARNING"},
        # A refused request is the client's affair and is answered; it is no warning of ours.
        "django.request": {"level": "ERROR"},
    },
}
structlog.configure(
    processors=[*_shared_processors, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)
