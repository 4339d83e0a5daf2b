"""Transitions in, questions out: simulated scenes, teachers, readers and writers, tasks and checks."""
