"""Learns what geometry cannot know. Nothing is here yet."""
