"""Settings that hold for every test."""

from __future__ import annotations

from hypothesis import settings

# On a build server hypothesis would repeat the same examples in each run. New ones are wanted
# everywhere; a failure prints the blob that reproduces it. There is no deadline for an example,
# since the machine may be busy with something else.
settings.register_profile(
    "tallystick", settings.get_profile("default"), deadline=None, print_blob=True
)
settings.load_profile("tallystick")
