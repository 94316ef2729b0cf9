"""Names of classes in any script in pictures: fonts that are installed, or else the number of the class."""

from vig_pyg._fonts.pictures import PictureFonts, picture_names
from vig_pyg._fonts.plots import plot_names

__all__ = ["PictureFonts", "picture_names", "plot_names"]
