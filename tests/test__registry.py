"""Names of one kind: registering, finding, and importing what a user names."""

import random
import string
import sys

import pytest

from tests.common import closed
from vig_pyg._registry import Registry, is_import_path


def make(**options):
    return Registry("shape", advice=", or draw it", **options)


def test_what_is_registered_is_found_in_order_and_stays_as_it_was():
    shapes, made = make(), {}
    rng = random.Random(0)
    for _ in range(100):
        name = "".join(rng.choices(string.ascii_letters + string.digits + "_-.:é", k=rng.randint(1, 12)))
        made.setdefault(name, lambda: None)
        assert shapes.register(name)(made[name]) is made[name]  # again the same is no error
    assert list(shapes) == shapes.names() == list(made) and dict(shapes) == made
    for name, value in made.items():
        assert shapes.resolve(name) is value and shapes.name_of(value) == name
    assert shapes.names("a*") == [name for name in made if name.startswith("a")]
    assert shapes.name_of(print) is None


@pytest.mark.parametrize("name", ["", " ", "a b", "a\n", "\ta"])
def test_a_name_is_one_word(name):
    with pytest.raises(ValueError, match="must not be empty or have spaces"):
        make().register(name)


def test_a_decorator_without_a_name_says_how_to_write_it():
    shapes = make()
    with pytest.raises(TypeError, match=r'write @register_shape\("name"\)'):

        @shapes.register
        def ring():
            pass


def test_a_taken_name_is_refused_and_a_module_imported_anew_is_not():
    def define():
        exec("def ring(): pass", scope := {"__name__": "shapes"})
        return scope["ring"]

    shapes, first, again = make(), define(), define()
    shapes.register("ring")(first)
    assert first is not again and shapes.register("ring")(again) is shapes["ring"] is again
    with pytest.raises(ValueError, match="The shape 'ring' is registered already, for <function ring"):
        shapes.register("ring")(lambda: None)
    with pytest.raises(TypeError, match="A shape must be callable, got 3"):
        shapes.register("three")(3)


def test_an_unknown_name_lists_all_and_says_what_else_there_is():
    shapes = make()
    for name in ("ring", "star"):
        shapes.register(name)(print)
    with pytest.raises(ValueError, match=r"^Unknown shape 'moon': choose one of ring, star, or draw it\.$"):
        shapes.resolve("moon")
    nearest = r"^Unknown shape 'rung'\. Did you mean 'ring'\? Choose one of ring, star, or draw it\.$"
    with pytest.raises(ValueError, match=nearest):
        shapes.resolve("rung")


PATHS = {"a:b": True, "a.b_1:C": True, "ä:ö": True, "a": False, "a:b:c": False, "a/b:c": False, ":b": False}
PATHS |= {"a:": False, "1a:b": False, "C:\\x": False, "a b:c": False, "a:b()": False, "a..b:c": False, "a:b.c": False}


@pytest.mark.parametrize("text", PATHS)
def test_import_paths(text):
    assert is_import_path(text) is PATHS[text]


def test_what_a_user_names_is_imported(tmp_path, monkeypatch):
    (tmp_path / "own_shapes_1.py").write_text("def ring(): pass\ndef star(): pass\nnumber = 3\n")
    (tmp_path / "own_shapes_2.py").write_text("import there_is_no_such_module\n")
    monkeypatch.syspath_prepend(tmp_path)
    shapes = make()
    assert shapes.import_name("ring") == "ring" and "own_shapes_1" not in sys.modules
    assert shapes.import_name("own_shapes_1:ring") == "own_shapes_1:ring"  # under its path
    assert shapes.import_name("own_shapes_1:ring") == "own_shapes_1:ring"
    module = sys.modules["own_shapes_1"]
    assert shapes.resolve("own_shapes_1:ring") is module.ring
    shapes.register("star")(module.star)
    assert shapes.import_name("own_shapes_1:star") == "own_shapes_1:star"  # the path leads to the name that it has
    assert shapes.resolve("own_shapes_1:star") is module.star and "own_shapes_1:star" in shapes
    assert "own_shapes_1:number" not in shapes and "os:system" not in shapes and list(shapes)[1:] == ["star"]
    for text, error, words in [
        ("own_shapes_1:oval", ValueError, "the module own_shapes_1 has no 'oval'"),
        ("own_shapes_1:number", TypeError, "must be callable, got 3"),
        ("own_shapes_3:ring", ImportError, "shape=own_shapes_3:ring: there is no module 'own_shapes_3'"),
        ("own_shapes_2:ring", ImportError, "there_is_no_such_module"),
    ]:
        with pytest.raises(error, match=words):
            shapes.import_name(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("my_ops.py:MyConv", "my_ops:MyConv"),
        ("./my_ops.py:MyConv", "my_ops:MyConv"),
        ("lib/my_ops.py:MyConv", "lib.my_ops:MyConv"),
        ("./lib/deep/my_ops.py:MyConv", "lib.deep.my_ops:MyConv"),
        ("/home/me/my_ops.py:MyConv", "my_ops:MyConv"),
        ("../my_ops.py:MyConv", "my_ops:MyConv"),
        ("my_ops.MyConv", "my_ops:MyConv"),
        ("lib.my_ops.MyConv", "lib.my_ops:MyConv"),
        ("my_ops.py.MyConv", "my_ops:MyConv"),
    ],
)
def test_a_file_name_in_place_of_a_module_is_told_the_import_path(text, meant):
    shapes = make()
    with pytest.raises((ValueError, ImportError)) as error:
        shapes.resolve(shapes.import_name(text))
    assert f"rite {meant}." in str(error.value)


def test_a_folder_that_cannot_be_read_hides_no_module_beside_it(tmp_path, monkeypatch):
    for name in ("secret", "my_package"):
        (tmp_path / name).mkdir()
    for name in ("my_ops.py", "my_package/__init__.py"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    closed(monkeypatch, "secret")
    for typed, meant in (("my_opps", "my_ops"), ("my_pakage", "my_package")):
        with pytest.raises(ImportError, match=rf"nor installed\. Did you mean {meant}:MyConv\?"):
            make().import_name(f"{typed}:MyConv")


@pytest.mark.parametrize("text", ["ring", "my-ops.py:Ring", "a b.py:C", ":Ring", "ring.", "3.5"])
def test_other_unknown_names_are_told_no_import_path(text):
    with pytest.raises(ValueError, match="Unknown shape") as error:
        make().resolve(make().import_name(text))
    assert "Write" not in str(error.value)


def test_a_module_that_registers_more_is_imported_at_the_first_lookup(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    shapes = make(others="more_shapes")
    monkeypatch.setattr(sys.modules[__name__], "later", shapes, raising=False)
    (tmp_path / "more_shapes.py").write_text(f"from {__name__} import later\nlater.register('ring')(print)\n")
    shapes.register("line")(repr)
    assert "more_shapes" not in sys.modules
    assert list(shapes) == ["line", "ring"] and shapes.name_of(print) == "ring"
    with pytest.raises(ValueError, match="choose one of line, ring"):
        shapes.resolve("circle")
    monkeypatch.delitem(sys.modules, "more_shapes")
