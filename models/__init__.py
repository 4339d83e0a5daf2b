"""Learns what geometry cannot know: relative pose, depth and extent from pictures; the answers are computed."""
