"""Sphinx's settings. `build.py` runs it, on a folder that has the notebooks and what is generated.

Nothing is fetched, while building or reading: no fonts, no scripts, no other project's index.
"""

import re

import engine

project = "gradloom"
author = "the authors of gradloom"
version = release = engine.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx_copybutton", "sphinx_design"]
nb_execution_mode = "off"  # notebooks are committed with their outputs
nb_ipywidgets_js = {}  # which would be fetched
myst_enable_extensions = ["colon_fence", "attrs_block", "attrs_inline"]
myst_heading_anchors = 4
default_role = "py:obj"  # a name in a docstring is code, and a link where there is such a name

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

smartquotes = False  # "balanced" is code, in docstrings

html_theme = "furo"
html_title = "gradloom"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_show_copyright = False
html_copy_source = False
html_show_search_summary = False  # which a browser does not fetch from a file
pygments_style, pygments_dark_style = "a11y-high-contrast-light", "a11y-high-contrast-dark"


def as_it_reads(app, what, name, obj, options, lines):
    """Escape what our docstrings say plainly, outside of code, and reStructuredText would read."""
    code = re.compile(r"(``.+?``|`[^`]+`)")
    for number, line in enumerate(lines):
        if line.lstrip().startswith((">>>", "...")):
            continue
        parts = code.split(line)
        parts[::2] = (re.sub(r"([*|]|_\b)", r"\\\1", part) for part in parts[::2])
        lines[number] = "".join(parts)


def setup(app):
    app.connect("autodoc-process-docstring", as_it_reads)
