"""The long-lived worker: has processes work for runs that others asked for, and fires schedules."""
