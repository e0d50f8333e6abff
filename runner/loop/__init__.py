"""The runner: claim, compute, finish. Thin, since the state machine is in the database."""
