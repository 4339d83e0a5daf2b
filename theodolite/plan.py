"""`theodolite plan`: camera poses for an action sequence, in the first camera's frame."""
