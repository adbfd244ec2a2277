"""Sphinx: ``python -m sphinx -W -b html docs docs/_build``. Nothing is fetched."""

from importlib.metadata import version as installed

project = "gradparity"
author = "The gradparity authors"
release = version = installed("gradparity")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
smartquotes = False  # they would make a dash of the two hyphens of an option
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
autodoc_typehints = "description"
autodoc_member_order = "bysource"
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = "gradparity"
html_show_sourcelink = False
html_copy_source = False
html_show_copyright = False  # it has no year to show; the license is in the repository
