"""The exact engine: pure functions and frozen types over tensors. No I/O, no randomness, no learning."""

from geom import conventions as conventions
from geom import so3 as so3
from geom.bearings import Sighting as Sighting
from geom.bearings import bearing as bearing
from geom.bearings import distance as distance
from geom.bearings import elevation as elevation
from geom.bearings import sight as sight
from geom.bearings import sight_before_and_after as sight_before_and_after
from geom.camera import PinholeCamera as PinholeCamera
from geom.scale import SCALE_STATUSES as SCALE_STATUSES
from geom.scale import Scale as Scale
from geom.se3 import SE3 as SE3
