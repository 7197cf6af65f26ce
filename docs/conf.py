"""How Sphinx builds the documentation: python -m sphinx -n -W docs build/docs"""

from __future__ import annotations

import os
import re
import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))
os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)  # of the notebooks' processes

import example  # noqa: E402 - these two lie beside this file
import reference  # noqa: E402

project = "lc_platform"
author = "the lc_platform team"
version = release = version_of("lc-platform")
html_title = "lc_platform"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx_copybutton"]
exclude_patterns = ["pictures"]
root_doc = "index"
default_role = "code"
nitpicky = True
suppress_warnings = ["ref.python"]  # two modules have a class of one name
nitpick_ignore_regex = [(r"py:.*", r".*")]
"""Types of other libraries, whose inventories lie on the network."""

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_merge_streams = True

autodoc_mock_imports = ["onnx", "onnxruntime", "torch"]
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True

html_theme = "pydata_sphinx_theme"
html_static_path = ["static"]
html_favicon = "static/icon.svg"
html_css_files = ["pages.css"]
html_show_sourcelink = False
html_context = {"default_mode": "auto"}
html_theme_options = {
    "show_prev_next": True,
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
copyright = "lc_platform, Apache-2.0"
copybutton_exclude = ".linenos, .gp"


_ARRAY = re.compile(r"ndarray\[tuple\[Any, (?:\.\.\.|…)\], dtype\[([\w\[\], ]+?)\]\]")
_MODULE = re.compile(r"~[\w.]+\.(?=\w)")
"""Sphinx leaves it where it cannot read a default such as <factory>."""


def _plain(_: Any, page: nodes.document, __: str) -> None:
    """Write the types of arrays as the code does."""
    of_types = addnodes.desc_annotation, addnodes.desc_returns, addnodes.desc_sig_name
    for node in list(page.findall(addnodes.desc_parameter)) + list(
        page.findall(lambda one: isinstance(one, of_types))
    ):
        if isinstance(node, addnodes.desc_parameter) and not isinstance(node[0], nodes.Text):
            continue  # Its parts are looked at by themselves.
        text = node.astext()
        written = _ARRAY.sub(r"NDArray[\1]", _MODULE.sub("", text))
        if written != text:
            node[:] = [nodes.Text(written)]


def _described(_: Any, __: str, ___: str, ____: Any, _____: Any, lines: list[str]) -> None:
    lines[:] = reference.parameters(lines)


def _stored(_: Any, settings: Any) -> None:
    if settings.nb_execution_mode != "off":
        example.make()


def setup(app: Any) -> None:
    """Write the reference, and make the notebooks' store, before the pages are read."""
    reference.write(DOCS / "reference")
    app.connect("config-inited", _stored)
    app.connect("autodoc-process-docstring", _described)
    app.connect("doctree-resolved", _plain)
