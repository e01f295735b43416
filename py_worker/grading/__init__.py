"""Verdicts on answers in words, by libraries: a program of its own, so that an expression that hangs can be ended."""
