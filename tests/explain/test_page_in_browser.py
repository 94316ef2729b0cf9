"""The page in a real browser, without a window: what is lit must be what `edge_index` says."""

import pytest
import torch
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser import needs_browser
from tests.explain.common import model_of
from vig_pyg.explain import save_html

HEIGHT, WIDTH = 40, 60  # not square; pvig_micro's last pooled cells are cut at the right border

pytestmark = needs_browser


class Page:
    """The page of one image, as a visitor sees and touches it."""

    def __init__(self, browser, graphs):
        self.browser, self.graphs = browser, graphs
        self.stage = self.find("stage")

    def find(self, name):
        return self.browser.find_element(By.ID, name)

    def text(self, name):
        return self.find(name).text

    def graph(self):
        """The layer that the page says it shows."""
        number = int(self.text("layer-number").split()[1])
        return self.graphs[number - 1].get_example(0)

    def move_to(self, row, column):
        """Pointer actions that end over the middle of a patch."""
        h, w = self.graph().grid_size
        size = self.stage.size
        x, y = ((column + 0.5) / w - 0.5) * size["width"], ((row + 0.5) / h - 0.5) * size["height"]
        return ActionChains(self.browser, duration=0).move_to_element_with_offset(self.stage, round(x), round(y))

    def hover(self, row, column):
        self.move_to(row, column).perform()

    def click(self, row, column):
        self.move_to(row, column).click().perform()

    def press(self, *keys):
        ActionChains(self.browser).send_keys(*keys).perform()

    def lit(self):
        """Sources that are lit, with their areas in shares of the image as drawn on the screen, by rank."""
        found = self.browser.execute_script("""
            const whole = document.getElementById("image").getBoundingClientRect();
            return [...document.querySelectorAll(".neighbor")].map(rect => {
              const a = rect.getBBox(), m = rect.getScreenCTM(), d = rect.dataset;
              return {rank: +d.rank, source: +d.source, fill: getComputedStyle(rect).fill, area: [
                (m.f + m.d * a.y - whole.top) / whole.height, (m.e + m.a * a.x - whole.left) / whole.width,
                m.d * a.height / whole.height, m.a * a.width / whole.width]};
            });""")
        return sorted(found, key=lambda rect: rect["rank"])

    def shows(self, row, column):
        """Whether number, places and colors of the lit neighbors are those of a patch."""
        graph = self.graph()
        h, w = graph.grid_size
        expected = graph.edge_index[0, graph.edge_index[1] == row * w + column].tolist()
        lit = self.lit()
        assert [rect["source"] for rect in lit] == expected
        assert [rect["rank"] for rect in lit] == list(range(len(expected)))
        r = int(graph.reduce_ratio)
        for rect in lit:
            top, left = (r * place for place in divmod(rect["source"], -(-w // r)))
            area = top / h, left / w, min(r, h - top) / h, min(r, w - left) / w
            assert rect["area"] == pytest.approx(area, abs=0.005)
        light = [sum(int(part) for part in rect["fill"][4:-1].split(",")) for rect in lit]
        assert light == sorted(set(light)), "nearest darkest, each in a color of its own"
        assert len(self.browser.find_elements(By.CSS_SELECTOR, "#ranks li")) == len(expected)
        assert self.text("where").startswith(f"Row {row}, column {column} (node {row * w + column})\n")
        return True


@pytest.fixture(params=["vig_micro", "pvig_micro"])
def page(request, browser, tmp_path):
    image = torch.rand(3, HEIGHT, WIDTH)
    graphs = model_of(request.param).graphs(image[None])
    save_html(image, graphs, tmp_path / "page.html", title="Noise")
    browser.get_log("browser")
    browser.get((tmp_path / "page.html").as_uri())
    yield Page(browser, graphs)
    assert browser.get_log("browser") == []
    loaded = browser.execute_script('return performance.getEntriesByType("resource").map(entry => entry.name)')
    assert [name for name in loaded if not name.startswith("data:")] == []


def test_hover_shows_the_neighbors_in_every_layer(page):
    assert page.text("layer-number") == f"Layer 1 of {len(page.graphs)}"
    assert page.shows(*(side // 2 for side in page.graph().grid_size))
    for layer, batch in enumerate(page.graphs):
        h, w = batch.grid_size[0]
        for row, column in ((0, 0), (h - 1, w - 1), (h // 2, w // 3)):
            page.hover(row, column)
            assert page.shows(row, column)
        k, dilation, r = (int(batch[name]) for name in ("k", "dilation", "reduce_ratio"))
        assert page.text("k") == f"k = {k}"
        assert page.text("dilation") == f"dilation = {dilation}"
        assert page.text("ratio") == f"reduce_ratio = {r}"
        assert (f"of {k * dilation} nearest" in page.text("dilation-words")) == (dilation > 1)
        assert (f"{r} × {r} patches" in page.text("ratio-words")) == (r > 1)
        assert page.find("next").is_enabled() == (layer + 1 < len(page.graphs))
        if layer + 1 < len(page.graphs):
            page.find("next").click()


def test_layers_are_switched_by_buttons_keys_and_slider(page):
    page.hover(1, 1)
    page.press(Keys.ARROW_RIGHT)
    assert page.text("layer-number").startswith("Layer 2")
    page.press(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert page.text("layer-number").startswith("Layer 1")
    assert not page.find("previous").is_enabled()
    page.find("layer").send_keys(Keys.END)
    assert page.text("layer-number").startswith(f"Layer {len(page.graphs)}")
    page.find("layer").send_keys(Keys.ARROW_LEFT)
    assert page.text("layer-number").startswith(f"Layer {len(page.graphs) - 1}")
    page.find("previous").click()
    assert page.text("layer-number").startswith(f"Layer {len(page.graphs) - 2}")
    assert page.find("layer").get_attribute("value") == str(len(page.graphs) - 2)


def test_a_click_pins_the_place_over_the_layers_and_a_second_one_frees_it(page):
    page.click(2, 3)
    assert page.text("pin") == "pinned"
    page.hover(6, 9)
    assert page.shows(2, 3)
    h, w = page.graph().grid_size
    page.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    rows, columns = page.graph().grid_size
    assert page.shows(int(2.5 / h * rows), int(3.5 / w * columns))
    page.press(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    page.click(6, 9)
    assert page.text("pin") == "pinned"
    assert page.shows(6, 9)
    page.click(6, 9)
    assert page.text("pin") == ""
    page.hover(2, 3)
    assert page.shows(2, 3)
    page.click(2, 3)
    page.press(Keys.ESCAPE)
    assert page.text("pin") == ""


def test_the_keyboard_alone_is_enough(page):
    page.press(Keys.TAB)
    assert page.browser.switch_to.active_element == page.stage
    h, w = page.graph().grid_size
    page.press(Keys.ARROW_UP, Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert page.shows(h // 2 - 1, w // 2 - 2)
    page.press(Keys.ARROW_DOWN, Keys.ARROW_RIGHT)
    assert page.shows(h // 2, w // 2 - 1)
    page.press(*[Keys.ARROW_LEFT] * w)
    assert page.shows(h // 2, 0)
    page.press(Keys.ENTER)
    assert page.text("pin") == "pinned"
    page.press(Keys.PAGE_DOWN)
    assert page.text("layer-number").startswith("Layer 2")
    page.press(Keys.PAGE_UP, Keys.ESCAPE)
    assert page.text("layer-number").startswith("Layer 1")
    assert page.text("pin") == ""


def test_a_finger_shows_and_pins(page):
    h, w = page.graph().grid_size
    area = page.stage.rect
    point = {"x": area["x"] + 4.5 / w * area["width"], "y": area["y"] + 1.5 / h * area["height"]}
    page.browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    try:
        for kind, points in (("touchStart", [point]), ("touchEnd", [])):
            page.browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        assert page.shows(1, 4)
        assert page.text("pin") == "pinned"
    finally:
        page.browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})


def test_both_color_schemes_and_narrow_windows_keep_everything_in_view(page):
    def colors():
        return page.browser.execute_script(
            "const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]"
        )

    seen = []
    for scheme in ("light", "dark"):
        features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
        seen.append([sum(int(part) for part in color[4:-1].split(",")) for color in colors()])
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert seen[0][0] > 700 > 200 > seen[0][1]
    assert seen[1][0] < 200 < 600 < seen[1][1]
    phone = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        WebDriverWait(page.browser, 5).until(lambda browser: browser.execute_script("return innerWidth") == 360)
        assert page.browser.execute_script("return document.documentElement.scrollWidth") <= 360
        assert page.stage.size["width"] > 300
        assert page.stage.size["width"] / page.stage.size["height"] == pytest.approx(WIDTH / HEIGHT, rel=0.01)
        page.hover(1, 1)
        assert page.shows(1, 1)
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_boxes_hide_the_grid_and_pale_the_image(page):
    grid = page.find("grid")
    assert grid.is_displayed()
    page.find("show-grid").click()
    assert not grid.is_displayed()
    assert page.find("image").value_of_css_property("filter") == "none"
    page.find("pale").click()
    pale = "grayscale(1) contrast(0.5) brightness(1.4)"
    WebDriverWait(page.browser, 5).until(lambda _: page.find("image").value_of_css_property("filter") == pale)


def test_settings_that_a_builder_ignores_are_called_so(browser, tmp_path):
    image = torch.rand(3, 56, 56)
    graphs = model_of("vig_micro", graph="grid", depth=5).graphs(image[None])
    assert int(graphs[-1].dilation) > 1
    save_html(image, graphs, tmp_path / "page.html")
    browser.get((tmp_path / "page.html").as_uri())
    page = Page(browser, graphs)
    page.find("layer").send_keys(Keys.END)
    assert page.text("k-words") == "the model's setting; this graph has 4 to 9 neighbors a patch"
    assert page.text("dilation-words") == "the model's setting"
    page.hover(0, 0)
    assert page.shows(0, 0)
    assert len(page.lit()) == 4


def test_one_neighbor_of_an_own_graph_is_called_so(browser, tmp_path):
    image = torch.rand(3, 32, 32)
    alone = lambda x, layout, x_src, layout_src: torch.arange(layout.num_nodes).expand(2, -1)  # noqa: E731
    graphs = model_of("vig_micro", graph=lambda k, dilation: alone).graphs(image[None])
    save_html(image, graphs, tmp_path / "page.html")
    browser.get((tmp_path / "page.html").as_uri())
    page = Page(browser, graphs)
    assert page.text("k-words") == "the model's setting; this graph has 1 neighbor a patch"
    assert page.text("where").endswith("\n1 neighbor, the patch itself among them")
    assert not page.find("first-rank").is_displayed() and page.text("last-rank") == ""


def test_fills_of_few_patches_are_lighter(browser, tmp_path):
    opacities = []
    for side in (16, 64):
        image = torch.rand(3, side, side)
        graphs = model_of("vig_micro").graphs(image[None])
        save_html(image, graphs, tmp_path / f"{side}.html")
        browser.get((tmp_path / f"{side}.html").as_uri())
        (rect, *_) = browser.find_elements(By.CSS_SELECTOR, ".neighbor")
        opacities.append(float(rect.value_of_css_property("fill-opacity")))
    assert opacities[0] < 0.5 * opacities[1] and opacities[1] == pytest.approx(0.65)


def test_a_title_stays_text(browser, tmp_path):
    image = torch.rand(3, 32, 32)
    title = "</title><script>document.title = 1</script> {{data}} & “é”"
    save_html(image, model_of("vig_micro").graphs(image[None]), tmp_path / "page.html", title=title)
    browser.get((tmp_path / "page.html").as_uri())
    assert browser.title == title
    assert browser.find_element(By.TAG_NAME, "h1").text == title


def test_the_output_replaces_the_image_on_request(browser, tmp_path):
    image = torch.zeros(3, HEIGHT, WIDTH)
    graphs = model_of("vig_micro").graphs(image[None])
    save_html(image, graphs, tmp_path / "a.html", summary=["red: 100.0 %"], output=torch.ones(3, HEIGHT, WIDTH))
    browser.get((tmp_path / "a.html").as_uri())
    page = Page(browser, graphs)
    output = page.find("output")
    assert not output.is_displayed() and "red: 100.0 %" in page.text("answer")
    page.find("show-output").click()
    assert output.is_displayed() and output.rect == page.find("image").rect
    page.hover(1, 1)
    assert page.lit()
    page.find("show-output").click()
    assert not output.is_displayed()
