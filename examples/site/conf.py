"""The site: guides, lessons and the pages of the API, which Sphinx makes from the docstrings.

uv run --group docs python examples/site/build.py
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

project = "vig_pyg"
author = "the authors of vig_pyg"
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_nb", "mathml"]
root_doc = "site/index"
include_patterns = [
    "site/*.md",
    "site/api/*.rst",
    "guides/*.md",
    "notebooks/*.ipynb",
    "notebooks/*.md",
    "results/*.md",
    "results/*/*.md",
    "benchmarks/results/*.md",
]
# Docstrings mark code as Markdown does.
default_role = "code"
math_numfig = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "exclude-members": "__init__, __new__"}
# The docstrings of torch and PyG use labels of their own pages.
autodoc_inherit_docstrings = False
python_use_unqualified_type_names = True
maximum_signature_line_length = 88
# The outputs that are saved in the notebooks are shown; building the site trains nothing.
nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
html_theme = "furo"
html_title = "vig_pyg"
html_show_copyright = False
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"top_of_page_buttons": []}
