"""Curves of a run in a tracker: ``python -m py_worker.track``, a process of its own that reads the run's files."""
