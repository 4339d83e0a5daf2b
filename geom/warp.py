"""One door to all that warps: a view seen from elsewhere, by depth and motion.

`backward_warp` samples a source where a destination's pixels lie in it; `forward_warp` throws a source's pixels into a
destination, the nearest wins; `soft_splat` mixes them, for gradients; `flow` and `overlap` say where pixels go and
whether the other camera sees them, `z_residual` how far their depth is from what it measured; `homography` does without
depth where the camera only turns. Pixels are counted as everywhere here: the first centre is (0.5, 0.5).
"""

from geom.gather import OCCLUSION_TOLERANCE as OCCLUSION_TOLERANCE
from geom.gather import Gathered as Gathered
from geom.gather import backward_warp as backward_warp
from geom.gather import overlap as overlap
from geom.homography import homography as homography
from geom.homography import with_whole_centers as with_whole_centers
from geom.soft_splat import SoftSplatted as SoftSplatted
from geom.soft_splat import soft_splat as soft_splat
from geom.splat import Warped as Warped
from geom.splat import forward_warp as forward_warp
from geom.transfer import flow as flow
from geom.transfer import z_residual as z_residual
