"""Formulas of the site as MathML: browsers draw it by themselves, so that pages need no script and no network."""

from latex2mathml.converter import convert


def _inline(self, node):
    self.body.append(convert(node.astext()))


def _display(self, node):
    self.body.append(f'<div class="math">{convert(node.astext(), display="block")}</div>')


def setup(app):
    """What Sphinx calls."""
    from docutils.nodes import SkipNode

    def rendered(write):
        def visit(self, node):
            write(self, node)
            raise SkipNode

        return visit, None

    app.add_html_math_renderer("mathml", rendered(_inline), rendered(_display))
    return {"parallel_read_safe": True}
