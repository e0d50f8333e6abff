"""Hooks: commands and webhooks that are told of a run's beginning, its batches and its end."""
