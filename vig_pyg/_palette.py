"""The colors of all figures and pages. Color-blind people can tell them apart.

The hues are those of Okabe and Ito (Color Universal Design, 2008). `SERIES` is the order for lines and bars, from those
with the largest difference to those with the smallest.
"""

BLUE = "#0072b2"
ORANGE = "#d55e00"
GREEN = "#009e73"
PINK = "#cc79a7"
SKY = "#56b4e9"
YELLOW = "#e69f00"
GRAY = "#5f6368"
BLACK = "#000000"

SERIES = (BLUE, ORANGE, GREEN, PINK, SKY, YELLOW, GRAY, BLACK)

#: The patch or object that a picture is about; it is bright on dark images and has a dark outline on bright ones.
MARK = ORANGE
