"""GLB, glTF, OBJ and PLY as scenes: named nodes are objects; floors, walls and what has no name are the room."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from synth.mesh_scene import MAX_TRIANGLES, MeshItem, MeshScene, MeshSource, build_scene
from synth.safe_read import MAX_PIXELS, inside
from synth.transition import ROOM

GLTF = (".glb", ".gltf")
SUFFIXES = (*GLTF, ".obj", ".ply")
MAX_FILE_BYTES = 512 * 2**20
MAX_KIND_LETTERS = 40

_STRUCTURE = {"floor", "floors", "wall", "walls", "ceiling", "ground", "roof", "room", "house", "building", "terrain"}
_STRUCTURE |= {"structure", "shell", "architecture", "interior", "skirting", "baseboard", "flooring"}
_STRUCTURE |= {"apartment", "kitchen", "bedroom", "bathroom", "office", "hall", "corridor"}
_WHERE = {"north", "south", "east", "west", "left", "right", "front", "back", "inner", "outer", "top", "bottom"}
_WHERE |= {"main", "plane", "mesh", "tile", "tiles", "panel", "geometry", "object", "part", "side"}
_SAYS_NOTHING = {"object", "obj", "mesh", "node", "geometry", "group", "primitive", "polygon", "shape", "model"}
_SAYS_NOTHING |= {"scene", "root", "world", "default", "untitled", "matrix", "empty", "sketchfab", "collada"}
_SAYS_NOTHING |= {"cube", "plane", "sphere", "icosphere", "cylinder", "cone", "torus", "circle", "grid"}
"""Among them the names that modelling programs give of themselves: "Cube.003" may be a sofa."""

_GREY = (190, 188, 182)
_FORMATS = {"gltf", "glb", "fbx", "dae", "obj", "ply", "blend"}
_NEW_WORD = re.compile(r"(?<=[^\W\d_])(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])")


def read_mesh_scene(path: Path, up: str | None = None, units_per_m: float | None = None) -> MeshScene:
    """Read a scene whose named nodes are its objects.

    A node that has triangles is an object, called by its name: "pottedPlant.001" is a potted plant. Names that say
    nothing ("Object_4", "Cube.001") are replaced by those of the nodes above; parts that are called after the node
    above ("Chair_leg" below "Chair") are part of it. Floors, walls, ceilings and the like, by their names, and what
    no name is found for, are the room: it hides and is stood on, but is not asked about. In OBJ, objects (`o`), or
    groups (`g`) where there are none, are the nodes. A PLY file names nothing: all of it is the room.

    Args:
        path: a .glb, .gltf, .obj or .ply file; what it refers to must lie in its folder.
        up: "y" or "z", the axis of the file that points up. OBJ and PLY do not say, so it must be stated; glTF is y up
            by its specification, which is what None stands for.
        units_per_m: how many units of the file make a metre; likewise, glTF is in metres by its specification.

    Raises:
        ValueError: if trimesh is not installed; the file is missing, damaged, empty or too large, or refers to files
            that are missing or outside its folder; or up and units are not stated where its format does not say them.
    """
    source = _source(path, up, units_per_m)
    loaded = _load(path)
    _check_counts(loaded, path)
    # By name, so that items have one order in every format.
    nodes = sorted(_owners(loaded, _file_names(path)), key=lambda node: node[1])
    items, owner_idx = _items([] if path.suffix.lower() == ".ply" else [owner for _, owner in nodes])
    corners, item_idx, colors = [np.empty((0, 3, 3))], [np.empty(0, np.int64)], [np.empty((0, 3), np.uint8)]
    for frame, owner in nodes:
        matrix, name = loaded.graph[frame]
        mesh = loaded.geometry[name]
        corners.append(_corners(mesh, matrix, path))
        item_idx.append(np.full(len(mesh.faces), owner_idx.get(owner, ROOM)))
        colors.append(_colors(mesh, path))
    placed = np.concatenate(corners) / source.units_per_m
    if source.up == "y":
        placed = np.stack([placed[..., 0], -placed[..., 2], placed[..., 1]], -1)
    try:
        return build_scene(source, items, placed, np.concatenate(item_idx), np.concatenate(colors))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _source(path: Path, up: str | None, units_per_m: float | None) -> MeshSource:
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise ValueError(f"a mesh scene is one of {', '.join(SUFFIXES)}, got {path.name!r}")
    if not path.is_file():
        raise ValueError(f"{path} is missing")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"{path} is larger than {MAX_FILE_BYTES // 2**20} MiB; simplify it first")
    if kind not in GLTF and up is None:
        raise ValueError(f"up must be stated, y or z: {path} does not say it, as no {kind[1:].upper()} does")
    if kind not in GLTF and units_per_m is None:
        unit = "1 for metres, 100 for centimetres"
        raise ValueError(f"units_per_m must be stated, {unit}: {path} does not say it, as no {kind[1:].upper()} does")
    stated = up is not None or units_per_m is not None
    return MeshSource(path.name, up or "y", 1.0 if units_per_m is None else float(units_per_m), stated)


class _Folder:
    """Files next to the scene for trimesh, which goes on without those that it cannot get: the first is kept."""

    file_name = "geometry"

    def __init__(self, root: Path) -> None:
        self.root, self.refused = root, ""

    def __getitem__(self, name: str) -> bytes:
        try:
            found = inside(self.root, unquote(str(name)).strip())
            if not found.is_file():
                raise ValueError(f"it refers to {name[:80]!r}, which is missing in its folder")
            if found.stat().st_size > MAX_FILE_BYTES:
                raise ValueError(f"it refers to {name[:80]!r}, which is larger than {MAX_FILE_BYTES // 2**20} MiB")
        except ValueError as error:
            self.refused = self.refused or str(error)
            raise
        return found.read_bytes()

    get = __getitem__


def _load(path: Path) -> Any:
    """The file as trimesh reads it, untouched: no vertex merged or dropped."""
    try:
        import trimesh
    except ImportError:
        raise ValueError("reading mesh files needs trimesh: pip install 'theodolite[mesh]'") from None
    kind, data, folder = path.suffix.lower()[1:], path.read_bytes(), _Folder(path.parent)
    options: dict[str, Any] = {"process": False}
    if kind == "obj":
        by_object = re.search(rb"^o\s", data, re.MULTILINE) is not None
        options |= {"split_objects": by_object, "split_groups": not by_object}
    try:
        with np.errstate(all="ignore"):
            loaded = trimesh.load_scene(io.BytesIO(data), file_type=kind, resolver=folder, **options)  # type: ignore[arg-type]
            for frame in loaded.graph.nodes_geometry:
                loaded.graph[frame]  # finds its place now, or that nodes contain each other
    except Exception as error:  # whatever a damaged file makes trimesh stumble over
        cause = folder.refused or f"{type(error).__name__}: {error}".split("\n")[0]
        raise ValueError(f"{path} is no {kind.upper()} that can be read: {cause}") from None
    if folder.refused:
        raise ValueError(f"{path}: {folder.refused}")
    return loaded


def _check_counts(loaded: Any, path: Path) -> None:
    """Count before anything is multiplied: a small file may place one mesh a million times."""
    counts = [len(getattr(loaded.geometry[loaded.graph[f][1]], "faces", ())) for f in loaded.graph.nodes_geometry]
    if sum(counts) > MAX_TRIANGLES:
        raise ValueError(f"{path} has {sum(counts)} triangles, more than {MAX_TRIANGLES}; simplify it first")


def _file_names(path: Path) -> set[str] | None:
    """Names of the nodes that a glTF file has itself; None for other formats."""
    if path.suffix.lower() not in GLTF:
        return None
    data = path.read_bytes()
    if path.suffix.lower() == ".glb":
        data = data[20 : 20 + int.from_bytes(data[12:16], "little")]
    return {str(node.get("name", i)) for i, node in enumerate(json.loads(data).get("nodes", []))}


def _owners(loaded: Any, file_names: set[str] | None) -> Iterator[tuple[str, str]]:
    """Each node with triangles, and the name of the node that it belongs to."""
    parents = loaded.graph.transforms.parents
    for frame in loaded.graph.nodes_geometry:
        mesh = loaded.geometry[loaded.graph[frame][1]]
        if not hasattr(mesh, "faces"):
            continue  # lines and points hide nothing
        if file_names is None:
            yield frame, _without_material(frame, mesh)
            continue
        owner, parent = frame, parents.get(frame)
        while parent is not None and (_says_nothing(owner) or _is_part(owner, parent, owner in file_names)):
            owner, parent = parent, parents.get(parent)
        yield frame, owner


def _says_nothing(name: str) -> bool:
    return set(_words(name)) <= _SAYS_NOTHING


def _is_part(name: str, parent: str, is_told: bool) -> bool:
    """Whether a node is called after the node above it.

    Walls may be below a room and chairs too, so that of a room only those are parts that the file has no name for:
    trimesh makes them of a mesh with several materials.
    """
    if _says_nothing(parent) or (is_told and _is_structure(_words(parent))):
        return False
    return re.match(rf"{re.escape(parent)}[_.\- ]", name) is not None


def _without_material(name: str, mesh: Any) -> str:
    """The name of an OBJ object, to which trimesh has added that of its material."""
    material = getattr(getattr(mesh.visual, "material", None), "name", None)
    return name if not material else "" if name == material else name.removesuffix(f"_{material}")


def _words(name: str) -> list[str]:
    """Words of a node's name, without numbers, single letters and endings of files."""
    words = (word.lower() for word in re.findall(r"[^\W\d_]+", _NEW_WORD.sub(" ", name)))
    return [word for word in words if len(word) > 1 and word not in _FORMATS]


def _is_structure(words: list[str]) -> bool:
    """Whether a name means the room: "north wall", "Wall_left", "floor tiles"; but not "floor lamp"."""
    return words[-1] in _STRUCTURE or (words[0] in _STRUCTURE and set(words[1:]) <= _WHERE)


def _items(owners: list[str]) -> tuple[tuple[MeshItem, ...], dict[str, int]]:
    """Items in the order of their nodes, numbered by kind, and the place of each owner among them."""
    items: list[MeshItem] = []
    places: dict[str, int] = {}
    counts: dict[str, int] = {}
    for owner in dict.fromkeys(owners):
        words = _words(owner)
        if _says_nothing(owner) or _is_structure(words):
            continue
        kind = " ".join(words)[:MAX_KIND_LETTERS].strip()
        counts[kind] = counts.get(kind, 0) + 1
        places[owner] = len(items)
        items.append(MeshItem(f"{kind.replace(' ', '_')}_{counts[kind]}", kind))
    return tuple(items), places


def _corners(mesh: Any, matrix: NDArray[np.float64], path: Path) -> NDArray[np.float64]:
    """Corners of a node's triangles in the file's frame, (f, 3, 3); a mirrored node keeps its outside outside."""
    vertices, faces = np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int64)
    if len(faces) and not (faces.min() >= 0 and faces.max() < len(vertices)):
        raise ValueError(f"{path}: triangles must name vertices 0..{len(vertices) - 1}, got {faces.max()}")
    with np.errstate(all="ignore"):
        placed = vertices @ matrix[:3, :3].T + matrix[:3, 3]
        mirrored = np.linalg.det(matrix[:3, :3]) < 0
    return placed[faces[:, ::-1] if mirrored else faces]


def _colors(mesh: Any, path: Path) -> NDArray[np.uint8]:
    """One sRGB colour per triangle, (f, 3): of its vertices, its material, or four points of its texture."""
    visual, count = mesh.visual, len(mesh.faces)
    material = getattr(visual, "material", None)
    if material is None:
        if visual.kind is None:
            return np.tile(np.array(_GREY, np.uint8), (count, 1))
        return np.asarray(visual.face_colors, np.uint8)[:, :3]
    image = getattr(material, "image", None) or getattr(material, "baseColorTexture", None)
    if image is None or visual.uv is None:
        return np.tile(np.asarray(material.main_color, np.uint8)[:3], (count, 1))
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{path} has a texture of {image.width} x {image.height} pixels, more than {MAX_PIXELS}")
    try:
        pixels = np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise ValueError(f"{path} has a texture that is no whole picture: {error}") from None
    return _sampled(pixels, np.asarray(visual.uv, np.float64)[mesh.faces], path)


def _sampled(pixels: NDArray[np.uint8], uv: NDArray[np.float64], path: Path) -> NDArray[np.uint8]:
    """Mean over the middle of each triangle and half way to its corners; the texture repeats, v grows upwards."""
    if not np.isfinite(uv).all():
        raise ValueError(f"{path}: texture coordinates must be finite, got NaN or inf; is the file damaged?")
    middle = uv.mean(1, keepdims=True)
    at = np.concatenate([middle, (uv + middle) / 2], 1) % 1.0
    size = np.array([pixels.shape[1], pixels.shape[0]])
    col, row = np.minimum(np.stack([at[..., 0], 1 - at[..., 1]], -1) * size, size - 1).astype(int).transpose(2, 0, 1)
    return np.rint(pixels[row, col].mean(1)).astype(np.uint8)
