"""The exact engine: pure functions and frozen types over tensors. No I/O, no randomness, no learning."""

from geom.camera import PinholeCamera as PinholeCamera
from geom.se3 import SE3 as SE3
