"""Reading of image files; every command and every data set uses this package."""

from vig_pyg.image_io._files import IMAGE_EXTENSIONS, IMAGE_FORMATS, find_images, folders_in, images_in, is_passed_over
from vig_pyg.image_io._limits import MAX_BYTES, MAX_PIXELS, MAX_RATIO, UnreadableImageError
from vig_pyg.image_io._read_array import plain_array
from vig_pyg.image_io.any_image import AnyImage, as_image, as_list
from vig_pyg.image_io.enlarge import drawing_scale, enlarge
from vig_pyg.image_io.labels import read_labels
from vig_pyg.image_io.read import MODES, normalize_image, read_image, stored_size, with_channels
from vig_pyg.image_io.stored import StoredImage

__all__ = [
    "IMAGE_EXTENSIONS",
    "IMAGE_FORMATS",
    "MAX_BYTES",
    "MAX_PIXELS",
    "MAX_RATIO",
    "MODES",
    "AnyImage",
    "StoredImage",
    "UnreadableImageError",
    "as_image",
    "as_list",
    "drawing_scale",
    "enlarge",
    "find_images",
    "folders_in",
    "images_in",
    "is_passed_over",
    "normalize_image",
    "plain_array",
    "read_image",
    "read_labels",
    "stored_size",
    "with_channels",
]
