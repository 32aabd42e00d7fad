"""Configuration: `schema/` defines all settings; each YAML file has those that an experiment changes."""

__version__ = "0.2.0"
