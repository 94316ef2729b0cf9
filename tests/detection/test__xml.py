import pytest

from vig_pyg.detection import _xml
from vig_pyg.detection._xml import read_xml

BOMB = "<!DOCTYPE a [<!ENTITY b 'ha'>" + "".join(
    f"<!ENTITY {'b' * (i + 1)} '{10 * ('&' + 'b' * i + ';')}'>" for i in range(1, 9)
)


def wrong(path, content, message):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message) as caught:
        read_xml(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_xml_is_read(tmp_path, encoding):
    path = tmp_path / "a.xml"
    names = {"utf-8-sig": "utf-8", "latin-1": "iso-8859-1"}
    head = f"<?xml version='1.0' encoding='{names.get(encoding, encoding)}'?>\r\n"
    path.write_bytes(
        f"{head}<annotation a='1'>\r\n <name> K\xe4se &amp; &#66; </name><!-- x --></annotation>".encode(encoding)
    )
    root = read_xml(path)
    assert (root.tag, root.attrib) == ("annotation", {"a": "1"})
    assert root.findtext("name") == " K\xe4se & B "


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_nothing_is_fetched_and_nothing_grows(tmp_path, encoding):
    (tmp_path / "secret").write_text("secret")
    for declaration in (
        f"<!DOCTYPE a [<!ENTITY x SYSTEM 'file://{tmp_path}/secret'>]>",
        "<!DOCTYPE a SYSTEM 'http://192.0.2.1/a.dtd'>",
        "<!DOCTYPE a [<!ENTITY % x SYSTEM 'http://192.0.2.1/a'> %x;]>",
        BOMB + "]>",
        "<!DOCTYPE annotation>",
    ):
        content = f"<?xml version='1.0' encoding='{encoding}'?>{declaration}<a>&x;</a>"
        wrong(tmp_path / "a.xml", content.encode(encoding), "document type")


def test_bounds(tmp_path, monkeypatch):
    path = tmp_path / "a.xml"
    wrong(path, "<a>" * 100_000, "nested more than 32 levels")
    path.write_text("<a>" * 32 + "</a>" * 32)
    assert read_xml(path).tag == "a"
    monkeypatch.setattr(_xml, "MAX_BYTES", 2**20)
    wrong(path, b"<a>" + bytes(2**20) + b"</a>", "larger than 1 MiB")


def test_what_is_no_xml(tmp_path):
    path = tmp_path / "a.xml"
    for content in (b"", b"text", b"<a>", b"<a></b>", b"<a/><b/>", b"<a>\0</a>", b"\xff\xfe\xff", b"<a>&x;</a>"):
        wrong(path, content, "cannot be read as XML")
    wrong(path, "<?xml version='1.0' encoding='no-such'?><a/>", "cannot be read as XML")
    wrong(path, "<?xml version='1.0' encoding='idna'?><a/>", "cannot be read as XML")
    whole = b"<annotation><object><name>red</name></object></annotation>"
    for end in range(len(whole)):
        wrong(path, whole[:end], "cannot be read as XML")
    with pytest.raises(FileNotFoundError, match=r"The annotation file .* does not exist"):
        read_xml(tmp_path)
