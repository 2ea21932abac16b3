"""Guest images: the recipe, the builder, the cache of this machine, and what cloud-init tells a new machine.

Almost nothing that takes time is left to a machine's first boot: packages are in the image, units that would find
nothing to do are masked, and the kernel starts without a boot loader.
"""

from infra.image.boot import kernel_arguments
from infra.image.recipe import Recipe, recipe_digest
from infra.image.store import Image, ensure_image

__all__ = ["Image", "Recipe", "ensure_image", "kernel_arguments", "recipe_digest"]
