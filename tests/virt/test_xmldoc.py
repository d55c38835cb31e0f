# SPDX-License-Identifier: LGPL-2.1-or-later
"""What an edit does not touch keeps every byte; hostile XML is refused."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from libvirtcim.virt import xmldoc
from libvirtcim.virt.devices.controller import Controller
from libvirtcim.virt.devices.interface import Interface
from libvirtcim.virt.domain import Domain
from libvirtcim.virt.errors import Invalid
from libvirtcim.virt.xmldoc import Document
from libvirtcim.virt.xmlwriter import Writer

_names = st.sampled_from(["vendor", "note", "x:extra", "a-b", "_u", "ünï", "disk2", "source"])
_text = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"], exclude_characters="<&>"),
    max_size=12,
)
_spaces = st.sampled_from(["", " ", "\n  ", "\t", "\r\n"])
_references = st.sampled_from(["&amp;", "&lt;", "&#65;", "&#x1F600;", "&quot;", "&gt;", "&apos;"])
_sections = st.builds("<![CDATA[{}<>&]]>".format, st.sampled_from(["", "x", "]", "</domain>"]))
_comments = st.builds("<!--{}-->".format, st.sampled_from(["", " x ", "<a b='>", "'\""]))
_instructions = st.sampled_from(["<?keep this?>", "<?p?>", "<?q a='<b>'?>"])


@st.composite
def _attributes(draw: st.DrawFn) -> str:
    names = draw(st.lists(st.sampled_from(["a", "b", "x:c", "xml:lang", "ä"]), unique=True))
    pieces = []
    for name in names:
        quote = draw(st.sampled_from("'\""))
        value = draw(_text).replace(quote, "") + draw(st.sampled_from(["", "&lt;", ">", "&#10;"]))
        gap, before, after = draw(st.sampled_from([" ", "\n ", "  "])), draw(_spaces), draw(_spaces)
        pieces.append(f"{gap}{name}{before}={after}{quote}{value}{quote}")
    return "".join(pieces)


def _element(content: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    @st.composite
    def build(draw: st.DrawFn) -> str:
        name, attributes, gap = draw(_names), draw(_attributes()), draw(_spaces)
        inner = draw(content)
        if not inner and draw(st.booleans()):
            return f"<{name}{attributes}{gap}/>"
        return f"<{name}{attributes}{gap}>{inner}</{name}{gap}>"

    return build()


_leaves = st.one_of(_text, _spaces, _references, _sections, _comments, _instructions)
_anything = st.recursive(
    _leaves, lambda inner: _element(st.lists(inner, max_size=4).map("".join)), max_leaves=12
).filter(lambda text: "]]>" not in text or "CDATA" in text)
_junk = st.lists(st.one_of(_element(_leaves), _anything), max_size=3).map("".join)
# Between the known elements only what is not an element: their path is by the first match.
_filler = st.lists(st.one_of(_spaces, _comments, _references, _element(_leaves)), max_size=2).map(
    "".join
)


@st.composite
def domains(draw: st.DrawFn) -> str:
    """A domain with one of everything that the edits below change, between arbitrary XML."""
    junk = [draw(_filler) for _ in range(8)]
    head = draw(
        st.sampled_from(["", "<?xml version='1.0' encoding='UTF-8'?>\n", "<!-- head -->", "\n"])
    )
    foot = draw(st.sampled_from(["", "\n", "<!-- end -->\n", "<?end?>"]))
    quote = draw(st.sampled_from("'\""))
    return (
        f"{head}<domain type={quote}kvm{quote}  xmlns:x='urn:x'>{junk[0]}<name>n&amp;1</name>"
        f"{junk[1]}<memory unit='KiB'>1048577</memory>{junk[2]}<features>{draw(_junk)}<acpi/>"
        f"<pae/></features>{junk[3]}<os><type arch={quote}x86_64{quote}>hvm</type></os>{junk[4]}<devices>"
        f"{junk[5]}<disk type='file' device='disk'>{junk[6]}<target dev='vda'  bus={quote}virtio"
        f"{quote}/></disk>{junk[7]}<interface type='network'><mac address='52:54:00:00:00:01'/>"
        f"</interface>{draw(_junk)}</devices></domain>{foot}"
    )


def _set(attribute: str, value: object) -> Callable[[Domain], None]:
    return lambda domain: setattr(domain, attribute, value)


def _set_target(domain: Domain) -> None:
    domain.disks[0].target = "vdb"


def _set_cache(domain: Domain) -> None:
    domain.disks[0].driver_cache = "none"


def _drop_disk(domain: Domain) -> None:
    domain.disks = ()


def _add_nic(domain: Domain) -> None:
    new = Interface.new(type="bridge", mac="52:54:00:00:00:02", source_bridge="br0")
    domain.interfaces = (*domain.interfaces, new)


# Edit, pattern of the text that it replaces, replacement. An empty pattern: the text is new.
EDITS: dict[str, tuple[Callable[[Domain], None], str, str]] = {
    "attribute": (_set("type", "qemu"), r"type=(['\"])kvm\1", 'type="qemu"'),
    "attribute of child": (_set_target, r"dev='vda'", 'dev="vdb"'),
    "text": (_set("name", "<&>"), r"n&amp;1", "&lt;&amp;&gt;"),
    "number": (_set("memory", 2048), r"1048577", "2048"),
    "new attribute": (_set("dump_core", True), r"unit='KiB'", "unit='KiB' dumpCore=\"on\""),
    "flag off": (_set("acpi", False), r"<acpi/>", ""),
    "remove device": (_drop_disk, r"<disk type=.*</disk>", ""),
    "new element": (_set("title", "t"), r"", "<title>t</title>"),
    "new grandchild": (_set_cache, r"", '<driver cache="none"/>'),
    "new device": (
        _add_nic,
        r"",
        '<interface type="bridge"><mac address="52:54:00:00:00:02"/><source bridge="br0"/>'
        "</interface>",
    ),
}
# Adding or removing an element may add or remove the blanks that indent it.
EXACT = frozenset({"attribute", "attribute of child", "text", "number", "new attribute"})


@settings(max_examples=150)
@given(domains())
def test_untouched_text_is_returned_byte_for_byte(text: str) -> None:
    assert Domain.parse(text).to_xml() == text


@pytest.mark.parametrize("edit", EDITS)
@settings(max_examples=40)
@given(text=domains())
def test_one_edit_changes_nothing_else(edit: str, text: str) -> None:
    change, old, new = EDITS[edit]
    domain = Domain.parse(text)
    change(domain)
    edited = domain.to_xml()
    if old:
        expected = re.sub(old, lambda _match: new, text, count=1, flags=re.DOTALL)
        got = edited
    else:
        expected = text
        assert edited.count(new) == text.count(new) + 1
        got = edited.replace(new, "", 1)
    if edit in EXACT:
        assert got == expected
    else:
        assert _blankless(got) == _blankless(expected)
    assert Domain.parse(edited).to_xml() == edited


def _blankless(text: str) -> str:
    return re.sub(r"\s", "", text)


LAYOUT = """<domain type='kvm'>
  <name>a</name>
  <devices>
    <disk type='file'>
      <target dev='vda'/>
    </disk>
    <input type='mouse' bus='ps2'/>
  </devices>
</domain>
"""


def test_new_elements_are_indented_like_their_neighbours() -> None:
    domain = Domain.parse(LAYOUT)
    domain.uuid = "u"
    domain.controllers = (Controller.new(type="usb"),)
    domain.disks[0].readonly = True
    assert domain.to_xml() == LAYOUT.replace(
        "  <devices>", "  <uuid>u</uuid>\n  <devices>"
    ).replace("<target dev='vda'/>\n", "<target dev='vda'/>\n      <readonly/>\n").replace(
        "    <input", "    <controller type='usb'/>\n    <input"
    )


# --- XML as libvirt writes it: as lxml does, but with other quotes ------------------------------------

_plain = st.text(st.sampled_from("ab<>&'\"= /\n é"), min_size=1, max_size=6)
_tags = st.sampled_from(["a", "b", "cd"])
_SINGLE = re.compile(r'="([^"\']*)"')
_START = re.compile(r"<[^/>][^>]*>")


@st.composite
def trees(draw: st.DrawFn, depth: int = 3) -> etree._Element:
    """An element with attributes, texts and children."""
    made = etree.Element(draw(_tags), draw(st.dictionaries(_tags, _plain, max_size=2)))
    made.text = draw(st.none() | _plain)
    for child in draw(st.lists(trees(depth - 1), max_size=3)) if depth else ():
        child.tail = draw(st.none() | _plain)
        made.append(child)
    return made


@st.composite
def edits(draw: st.DrawFn, root: etree._Element) -> Callable[[etree._Element], None]:
    """One change of a tree of this shape: of an attribute, a text, or of which elements there are."""
    number = draw(st.integers(0, len(list(root.iter())) - 1))
    value, new = draw(_plain), draw(trees(1))
    kind = draw(st.sampled_from(["attribute", "text", "append", "remove", "move"]))

    def edit(live: etree._Element) -> None:
        nodes = list(live.iter())
        node = nodes[min(number, len(nodes) - 1)]
        parent = node.getparent()
        if kind == "attribute":
            node.set("a", value)
        elif kind == "text":
            node.text = value
        elif kind == "append":
            node.append(new)
        elif parent is not None and kind == "remove":
            parent.remove(node)
        elif parent is not None:
            parent.insert(0, node)

    return edit


@given(st.data(), trees(), st.integers(0, 3), st.sampled_from(["", "\n"]))
def test_edited_text_in_libvirts_style(
    data: st.DataObject, tree: etree._Element, limit: int, end: str
) -> None:
    """It says what the tree says, and keeps every tag that a walk through the tree keeps."""
    written = etree.tostring(tree, encoding="unicode")
    source = _START.sub(lambda tag: _SINGLE.sub(r"='\1'", tag[0]), written, limit) + end
    document = Document(source)
    for edit in data.draw(st.lists(edits(document.root), min_size=1, max_size=2)):
        edit(document.root)
    text = document.to_text()
    wanted = etree.tostring(document.root, encoding="unicode")
    assert etree.tostring(xmldoc.parse_root(text), encoding="unicode") == wanted
    as_read = list(xmldoc.parse_root(source).iter())
    walked = Writer(source, as_read, document._nodes).document(document.root)
    assert _start_tags(text) >= _start_tags(source) & _start_tags(walked)


def _start_tags(text: str) -> Counter[str]:
    return Counter(tag.rstrip("/>") for tag in _START.findall(text))


def test_texts_between_edits_keep_their_quotes() -> None:
    source = "<a>\n  <b x='1'/>\n  <c y=\"it's\"/>\n  <d z=\"2\"/>\n  <b x='3'/>\n</a>\n"
    document = Document(source)
    first, last = document.root.findall("b")
    first.set("x", "4")
    last.set("x", "5")
    edited = source.replace("x='1'", 'x="4"').replace("x='3'", 'x="5"')
    assert document.to_text() == edited


def test_one_edit_in_libvirts_style_takes_over_its_quotes() -> None:
    document = Document("<a>\n  <b x='1' y='2'/>\n  <c z=\"it's\"/>\n</a>\n")
    document.root[0].set("y", "3")
    assert document.to_text() == "<a>\n  <b x='1' y='3'/>\n  <c z=\"it's\"/>\n</a>\n"


def test_removing_what_was_added_gives_the_first_text_back() -> None:
    domain = Domain.parse(LAYOUT)
    domain.title = "x"
    domain.disks[0].readonly = True
    domain.cpu_shares = 5
    domain.title = None
    domain.disks[0].readonly = False
    domain.cpu_shares = None
    assert domain.to_xml() == LAYOUT


def test_a_moved_element_keeps_its_bytes() -> None:
    document = Document("<a><b  x='1' /> <c><!-- i --></c></a>")
    document.root.append(document.root[0])
    assert document.to_text() == "<a><c><!-- i --></c><b  x='1' /> </a>"


@pytest.mark.parametrize(
    "text",
    [
        "<!DOCTYPE d [<!ENTITY e 'x'>]><domain>&e;</domain>",
        "<?xml version='1.0'?><!-- c --><!DOCTYPE d SYSTEM 'file:///etc/passwd'><domain/>",
        "\n <!DOCTYPE d><domain/>",
        "<domain>&undefined;</domain>",
        "<domain>",
        "",
        "<domain>\ud800</domain>",
        "<domain>\x01</domain>",
        "<domain>" + "<a>" * 5000 + "</a>" * 5000 + "</domain>",
        "<network/>",
    ],
)
def test_bad_xml_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        Domain.parse(text)
    with pytest.raises(Invalid):
        Domain.view(text)


def test_size_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xmldoc, "MAX_XML_BYTES", 30)
    assert Domain.parse("<domain>" + "x" * 13 + "</domain>")
    with pytest.raises(Invalid, match="larger"):
        Domain.parse("<domain>" + "ä" * 7 + "</domain>")


@pytest.mark.parametrize("value", ["\x00", "\x1f", "\ud800", 5])
def test_values_that_xml_cannot_hold_are_refused(value: object) -> None:
    domain = Domain.parse(LAYOUT)
    with pytest.raises(Invalid):
        domain.title = value  # type: ignore[assignment]
