"""Text becomes markup only by being marked up."""

from __future__ import annotations

from tallystick.http.markup import join, markdown, path, prose, tag


def test_text_is_escaped_and_markup_is_not() -> None:
    assert tag("p", "a < b & c", tag("b", "<i>")) == "<p>a &lt; b &amp; c<b>&lt;i&gt;</b></p>"


def test_attributes_are_escaped() -> None:
    assert tag("a", href='"><script>') == '<a href="&quot;&gt;&lt;script&gt;"></a>'


def test_attributes_that_python_cannot_spell() -> None:
    assert tag("p", class_="x", aria_label="y") == '<p class="x" aria-label="y"></p>'


def test_void_elements_have_no_end() -> None:
    assert tag("meta", charset="utf-8") == '<meta charset="utf-8">'


def test_backticks_are_code() -> None:
    assert prose("send `a<b` now") == "send <code>a&lt;b</code> now"


def test_a_separator_is_text_too() -> None:
    assert join(["a", tag("b", "c")], " < ") == "a &lt; <b>c</b>"


def test_a_path_breaks_after_its_slashes() -> None:
    assert path("/v1/{id}") == "/<wbr>v1/<wbr>{id}"


def test_the_guides_markdown() -> None:
    source = "First `one`.\n\n## A title\n\n- an item\n- `another`\n"
    assert markdown(source, 2) == (
        '<p>First <code>one</code>.</p><h2 id="a-title">A title</h2>'
        "<ul><li>an item</li><li><code>another</code></li></ul>"
    )
