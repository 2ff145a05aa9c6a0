"""Settings: arguments, then environment, then toml files; every value knows where it came from."""

from oarlock.settings.access import Accessor, Awaiting, config, secrets
from oarlock.settings.coercion import coerce
from oarlock.settings.filling import filled
from oarlock.settings.folders import Folders, find_folders
from oarlock.settings.lookup import Resolved, Settings
from oarlock.settings.names import check_pipeline_name, default_pipeline_name
from oarlock.settings.pipeline import PipelineSettings, resolve_pipeline
from oarlock.settings.salt import check_salt, default_salt, salt_digest
from oarlock.settings.secret import MASK, Secret, redact, redact_all, remember

__all__ = [
    "MASK",
    "Accessor",
    "Awaiting",
    "Folders",
    "PipelineSettings",
    "Resolved",
    "Secret",
    "Settings",
    "check_pipeline_name",
    "check_salt",
    "coerce",
    "config",
    "default_pipeline_name",
    "default_salt",
    "filled",
    "find_folders",
    "redact",
    "redact_all",
    "remember",
    "resolve_pipeline",
    "salt_digest",
    "secrets",
]
