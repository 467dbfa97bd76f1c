"""The site: `make -C docs html` builds it from these pages, the docstrings and the examples, without network."""

import os
import re
import sys
from pathlib import Path

from fastbp import __version__

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # for what is beside this file
import class_pictures  # noqa: E402

PICTURED = class_pictures.classes()

project, author, copyright = "fastbp", "The fastbp developers", "The fastbp developers, BSD-3-Clause"
version = release = __version__

extensions = [
    *("sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.viewcode"),
    *("numpydoc", "myst_parser", "sphinx_gallery.gen_gallery", "sphinx_copybutton", "mathml"),
    "matplotlib.sphinxext.plot_directive",
]
exclude_patterns = ["_build", "_templates", "auto_examples/*.ipynb"]
templates_path = ["_templates"]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
root_doc = "index"

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"  # they are in the docstrings, with shapes
numpydoc_show_class_members = False  # each is documented below its class

plot_include_source = True
plot_html_show_source_link = plot_html_show_formats = False
plot_formats = ["svg"]
plot_rcparams = {"figure.figsize": (5.5, 3), "figure.constrained_layout.use": True}
plot_apply_rcparams = True

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"simd_",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,
    "show_signature": False,
    "plot_gallery": not tags.has("quick"),  # noqa: F821 (`-t quick`: examples are shown, not run)
    "abort_on_example_error": True,
    "matplotlib_animations": True,
}

html_theme = "pydata_sphinx_theme"
html_title = "fastbp"
html_static_path = ["_static"]
html_css_files = ["fastbp.css"]
html_theme_options = {
    "show_prev_next": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_show_sourcelink = False
if (HERE.parent / ".asv/html/index.html").exists():  # `asv publish` has drawn speed over the commits: `make` puts it beside
    tags.add("asv")  # noqa: F821
copybutton_exclude = ".linenos, .gp, .go"

# Pages are read here and beside the code; a link to a file that is a page of the site leads to that page.
ROOT = HERE.parent
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "contributing.md",
    "benchmarks/README.md": "benchmarks.md",
    "fastbp/compiler/README.md": "compiler.md",
}


def _lead_to_pages(text, folder):
    def on_the_site(found):
        link, place = found[1], found[2] or ""
        target = (folder / link).resolve()
        if "://" in link or not target.is_relative_to(ROOT):
            return found[0]
        name = target.relative_to(ROOT).as_posix()
        if name.startswith("examples/plot_"):
            page = f"auto_examples/{target.stem}.rst"
        else:
            page = PAGES.get(name) or os.path.relpath(target, HERE)
        return f"]({page}{place})"

    return re.sub(r"\]\(([^)#\s]+)(#[^)\s]*)?\)", on_the_site, text)


def _read(app, docname, source):
    source[0] = _lead_to_pages(source[0], HERE / Path(docname).parent)


def _included(app, path, docname, source):
    source[0] = _lead_to_pages(source[0], (HERE / path).parent)


def _as_written(app, what, name, obj, options, lines):
    """Bars are absolute values, and roles of other projects' sites are their words."""
    for number, line in enumerate(lines):
        line = re.sub(r":(?:ref|term):`([^`<]+?)(?:\s*<[^`]*>)?`", r"\1", line)
        parts = re.split(r"(`+[^`]*`+)", line)
        lines[number] = "".join(part if part.startswith("`") else part.replace("|", "\\|") for part in parts)
    if obj in PICTURED:
        program = class_pictures.example(obj).splitlines()
        lines += ["", ".. rubric:: Example", "", ".. plot::", "", *(f"   {line}" for line in program), ""]


def setup(app):
    """Hooks of Sphinx."""
    app.connect("source-read", _read)
    app.connect("include-read", _included)
    app.connect("autodoc-process-docstring", _as_written)
