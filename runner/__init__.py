"""pgbackfill: a database-native job runner for rows that lack what SQL alone can't compute."""

__version__ = "0.1.0"
