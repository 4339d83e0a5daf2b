"""One furnished room twice: as named nodes for trimesh, and as the primitives that they were made of."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch

from geom.primitives import BOX, CYLINDER, Primitives
from geom.se3 import SE3
from synth.evidence import SolidsEvidence

SECTIONS = 256


class Piece(NamedTuple):
    node: str
    code: int
    center: tuple[float, float, float]
    half: tuple[float, float, float]
    yaw: float = 0.0
    color: tuple[int, int, int] = (180, 180, 180)


ROOM_PIECES = (
    Piece("Floor", BOX, (0, 0, -0.05), (3.1, 2.6, 0.05), color=(172, 140, 100)),
    Piece("Ceiling", BOX, (0, 0, 2.75), (3.1, 2.6, 0.05), color=(240, 240, 236)),
    Piece("Wall_left", BOX, (-3.05, 0, 1.35), (0.05, 2.6, 1.4), color=(205, 214, 200)),
    Piece("Wall_right", BOX, (3.05, 0, 1.35), (0.05, 2.6, 1.4), color=(205, 214, 200)),
    Piece("Wall_front", BOX, (0, 2.55, 1.35), (3.1, 0.05, 1.4), color=(222, 214, 200)),
    Piece("Wall_back", BOX, (0, -2.55, 1.35), (3.1, 0.05, 1.4), color=(222, 214, 200)),
)
ITEM_PIECES = (
    Piece("diningTable.001", BOX, (0.2, 1.3, 0.72), (0.7, 0.4, 0.03), 0.2, (150, 90, 50)),
    Piece("Chair_02", BOX, (-0.9, 1.0, 0.45), (0.22, 0.22, 0.45), 0.7, (60, 90, 160)),
    Piece("pottedPlant.003", CYLINDER, (2.3, 1.9, 0.4), (0.25, 0.25, 0.4), 0.0, (70, 140, 70)),
    Piece("Floor lamp", CYLINDER, (-2.4, 2.0, 0.8), (0.15, 0.15, 0.8), 0.0, (220, 190, 90)),
    Piece("Cabinet", BOX, (2.6, -0.8, 0.7), (0.3, 0.6, 0.7), 0.0, (120, 70, 60)),
    Piece("bowl", CYLINDER, (0.2, 1.3, 0.81), (0.12, 0.12, 0.05), 0.0, (200, 60, 60)),
)
KINDS = ("dining table", "chair", "potted plant", "floor lamp", "cabinet", "bowl")

Y_UP = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
"""From z up to y up."""


def pose(piece: Piece) -> np.ndarray:
    T, (c, s) = np.eye(4), (math.cos(piece.yaw), math.sin(piece.yaw))
    T[:2, :2] = [[c, -s], [s, c]]
    T[:3, 3] = piece.center
    return T


def solid_mesh(piece: Piece) -> Any:
    import trimesh

    half = np.array(piece.half)
    if piece.code == BOX:
        mesh = trimesh.creation.box(2 * half)
    else:
        mesh = trimesh.creation.cylinder(half[0], 2 * half[2], sections=SECTIONS)
    color = [*piece.color, 255]
    mesh.visual = trimesh.visual.TextureVisuals(
        material=trimesh.visual.material.PBRMaterial(name=f"m{'_'.join(map(str, piece.color))}", baseColorFactor=color)
    )
    return mesh


def furnished(*, y_up: bool = True, scale: float = 1.0, pieces: tuple[Piece, ...] = ROOM_PIECES + ITEM_PIECES) -> Any:
    """A trimesh scene with a node for each piece."""
    import trimesh

    scene = trimesh.Scene()
    for piece in pieces:
        T = (Y_UP if y_up else np.eye(4)) @ pose(piece)
        T[:3] *= scale
        scene.add_geometry(solid_mesh(piece), node_name=piece.node, geom_name=piece.node, transform=T)
    return scene


def solids(pieces: tuple[Piece, ...] = ROOM_PIECES + ITEM_PIECES) -> SolidsEvidence:
    """The same pieces as primitives; the room's are owned by nobody."""
    T = SE3.from_matrix(torch.from_numpy(np.array([pose(piece) for piece in pieces])))
    owner = np.maximum(np.arange(len(pieces)) - len(ROOM_PIECES), -1)
    made = Primitives.build([p.code for p in pieces], T, [p.half for p in pieces], owner)
    return SolidsEvidence(tuple(f"{kind.replace(' ', '_')}_1" for kind in KINDS), KINDS, made)
