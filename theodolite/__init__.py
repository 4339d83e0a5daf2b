"""The front door: one file per command. Nothing imports it."""

__version__ = "0.1.0"
