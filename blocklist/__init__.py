"""A signed register of blocked sites, in which every measure ends unless it is reviewed."""

__version__ = "0.1.0"
