"""Pages of simulated runs, and small pictures of their looks: `python -m tests.report.looks` takes them anew."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gradparity.report.page import document
from gradparity.results import Diagnosis, Finding, ProblemResult, RunResult
from gradparity.results.divergence import Divergences
from gradparity.results.findings import NotGiven
from gradparity.results.lines import Cure, Lines, Site
from gradparity.results.own_training import OwnDivergence, OwnRun, OwnTraining
from gradparity.results.run import RecordedAnswer
from tests.report import campaigns
from tests.report.samples import finding, problem, run

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run"]  # fmt: skip
PICTURES = Path(__file__).parent / "looks"
#: Chromium's major version, and pixels of a line of text: with other fonts every picture is another.
MADE_WITH = PICTURES / "made_with.txt"
WIDTHS = (390, 768, 1440)
SCHEMES = ("light", "dark", "print")
#: One pixel of a picture is so many of the page, and no more of a page is compared than so many pixels.
_SCALE, _TALLEST = 4, 6000
_BACKENDS = ["numpy", "autograd", "jax", "torch"]

_DRAWN = (
    "() => (window.Plotly || !document.getElementById('plotly')) && [...document.querySelectorAll('.plot')]"
    ".every((box) => box.closest('details:not([open])') || box.querySelector('.main-svg'))"
)
#: The page as a small picture, from a screenshot.
_SMALL = """async ([source, scale]) => {
  const image = await createImageBitmap(await (await fetch(source)).blob());
  const canvas = new OffscreenCanvas(Math.round(image.width / scale), Math.round(image.height / scale));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  const blob = await canvas.convertToBlob({ type: "image/webp", quality: 0.6 });
  return new Promise((done) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.readAsDataURL(blob);
  });
}"""
#: The sizes of two pictures, and how far apart their tiles of 8 pixels are at most and on average, of 255.
_APART = """async (sources) => {
  const tiles = [];
  for (const source of sources) {
    const image = await createImageBitmap(await (await fetch(source)).blob());
    const canvas = new OffscreenCanvas(image.width, image.height);
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const { data, width, height } = context.getImageData(0, 0, image.width, image.height);
    const found = { width, height, means: new Map() };
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) for (let c = 0; c < 3; c++) {
      const key = `${x >> 3},${y >> 3},${c}`;
      const [sum, count] = found.means.get(key) || [0, 0];
      found.means.set(key, [sum + data[4 * (y * width + x) + c], count + 1]);
    }
    tiles.push(found);
  }
  const [a, b] = tiles;
  let most = 0, all = 0, count = 0;
  for (const [key, [sum, n]] of a.means) if (b.means.has(key)) {
    const apart = Math.abs(sum / n - b.means.get(key)[0] / b.means.get(key)[1]);
    most = Math.max(most, apart); all += apart; count += 1;
  }
  return { sizes: [[a.width, a.height], [b.width, b.height]], most, mean: all / count };
}"""


def pages() -> dict[str, RunResult]:
    """Two problems and forty; all agree, one wrong, all wrong, nothing timed."""
    forty = [problem(f"synthetic:{10 * n}x{n}", _BACKENDS, bad="torch" if n % 5 == 0 else "") for n in range(1, 41)]
    return {
        "two_agree": run(*(problem(name, _BACKENDS) for name in ("toy", "iris"))),
        "two_wrong": run(problem("toy", _BACKENDS), problem("iris", _BACKENDS, bad="torch")),
        "two_all_wrong": run(*(_all_wrong(name) for name in ("toy", "iris"))),
        "two_untimed": run(*(problem(name, _BACKENDS, clock=False) for name in ("toy", "iris")), command="check"),
        "forty": run(*forty),
        "port": run(wrong_port(), command="check"),
        "steps": run(trained("agreeing"), trained("diverging", wrong="torch"), command="check"),
        "elsewhere": run(recorded_elsewhere(), command="check"),
        "many": campaigns.made(),
    }


def _all_wrong(name: str) -> ProblemResult:
    made = problem(name, _BACKENDS, clock=False, training=[])
    made.findings = [finding(each, bad=True, parameter=parameter) for each in _BACKENDS for parameter in ("w", "W")]
    return made


def trained(name: str, wrong: str = "") -> ProblemResult:
    """Ports with steps of their own: all agree, or one has its epsilon inside the root; a third gave no run."""
    made = problem(name, ["autograd", "jax", "torch"], clock=False, training=[])
    curve = [0.4 + 1.2 * 0.97**k + 0.05 * ((7 * k) % 5 - 2) * 0.99**k for k in range(200)]
    rule = "Adam (lr 0.01, b1 0.9, b2 0.999, eps 1e-08, eps {} the root)"
    runs = [
        OwnRun(
            backend=each, steps=200, seconds=0.4, rule_steps=40 if wrong else 0,
            losses=[loss + 0.08 * (1 - 0.98**k) * (each == wrong) for k, loss in enumerate(curve)],
            rule=rule.format("inside" if each == wrong else "outside") if wrong else "",
        )
        for each in ("jax", "torch")
    ]  # fmt: skip
    parted = OwnDivergence(
        backends=("torch", "jax"), step=1, what="parameter layers.0.bias", floors=1.4e13, relative=0.0077,
        later=[(10, 0.004), (100, 0.0012), (200, 0.00066)], blame="update",
        detail="the update is to blame: at the parameters before that step both gradients of loss(params, batch) "
        "agree, to 0.396 floors",
        rules=["eps inside the root against eps outside the root"],
    )  # fmt: skip
    said = (
        "m/backends/autograd.py, line 13: step: got (a number, params, a dict of m, v), expected (params, state, loss)"
    )
    made.own_training = OwnTraining(
        steps=200, compared=1 if wrong else 200, batches=200, runs=runs, divergences=[parted] if wrong else [],
        missing={"autograd": f"{said}, in that order."},
        notes=["state of torch that is compared with nothing: exp_avg, exp_avg_sq and step"],
    )  # fmt: skip
    return made


def recorded_elsewhere() -> ProblemResult:
    """Two backends, a reference in bfloat16 that agrees, and one in float32 with a gradient twice as large."""
    half, single = "torch@gpu-bfloat16", "flax@tpu-float32"
    made = problem("model.py", ["autograd", "torch"], clock=False)
    bf16 = {"relative_error": 0.0049, "floors": 0.612, "error_ulps": None, "floor_ulps": None}
    made.findings += [finding(half, parameter=parameter, **bf16) for parameter in ("w", "W")]
    none = "as a whole consistent with no precision, not even bfloat16 products and float32 sums (98.5 floors)"
    off = {"got": -0.23913, "truth": -0.119565, "floors": 3.8e6, "error_ulps": 1.6e7, "cause": f"factor 2; {none}"}
    made.findings += [finding(single, parameter="w", relative_error=1.3e-7), finding(single, bad=True, **off)]
    made.not_given = [
        NotGiven(backend=name, quantity=quantity, reason="the reference has none", cure="Record it too.")
        for name in (half, single)
        for quantity in ("jvp", "hvp")
    ]
    device = "NVIDIA H100 80GB HBM3, CUDA 12.4"
    fits = (
        "consistent with bfloat16 products and float32 sums (0.612 floors), and as good as float16 products and "
        "float32 sums (2.37 floors), not with TF32 products and float32 sums (35.0 floors)"
    )
    made.recorded = [
        RecordedAnswer(name=name, file=f"{name}.safetensors", dtype=dtype, device=device, said=fit)
        for name, dtype, fit in ((half, "bfloat16", fits), (single, "float32", none))
    ]
    made.diagnoses = [
        Diagnosis(name=f"reference {each.name}", finding=f"recorded in {each.dtype} on {device}, {fit}", cure="")
        for each, fit in zip(made.recorded, (fits, none.removeprefix("as a whole ")), strict=True)
    ]
    return made


def wrong_port() -> ProblemResult:
    """A port with a wrong eps: twenty blocks are off for one reason, whose place is known."""
    names = [f"layer{n}.{what}" for n in range(3) for what in ("weight", "bias", "gain")]
    keys = [("loss", ""), ("jvp", ""), *((quantity, name) for quantity in ("gradient", "hvp") for name in names)]

    def found(backend: str, place: int, quantity: str, name: str) -> Finding:
        fields = {"quantity": quantity, "parameter": name, "cause": "", "relative_error": 10 ** (-16 + 0.1 * place)}
        if backend != "jax":
            return finding(backend, **fields)
        off = {"relative_error": 4.5e-6 * (1 + place), "floors": 5.1e9, "got": 2.52235, "truth": 2.52234 - 1e-9 * place}
        return finding(backend, bad=True, **fields | off)

    made = problem("port", ["autograd", "jax", "torch"], bad="jax", clock=False)
    made.findings = [found(name, *each) for name in ("autograd", "jax", "torch") for each in _numbered(keys)]
    sites = [
        Site(backend=name, file=file, line=line, text=text, operation="add")
        for name, file, line, text in (
            ("jax", "jax.py", 6, "jnp.mean(centred**2, axis=-1, keepdims=True) + EPSILON"),
            ("truth", "model_spec.py", 46, "xp.mean(centred**2, axis=-1, keepdims=True) + EPSILON"),
        )
    ]
    long = "    return centred / xp.sqrt(xp.mean(centred**2, axis=-1, keepdims=True) + EPSILON) * gain + bias"
    source = [
        "EPSILON = 1e-6",
        "",
        "",
        "def layer_norm(x, gain, bias):",
        "    centred = x - xp.mean(x)",
        long,
        "",
        "y = 1",
    ]
    met = Lines(
        direction="forward", backend="jax", against="truth", here=sites, relative=1.9e-5, floors=5.7e10,
        cures=[Cure(backend="jax", file="jax.py", line=1, kind="number", old="1e-6", new="1e-5")],
        joined=[(5, 45), (6, 46)], excerpts={"jax": (1, source), "truth": (41, source)},
    )  # fmt: skip
    made.divergences = Divergences(lines=[met])
    return made


def _numbered(keys: list[tuple[str, str]]) -> Iterator[tuple[int, str, str]]:
    return ((place, *key) for place, key in enumerate(keys))


@contextmanager
def opened(browser: Any, path: Path, width: int, scheme: str) -> Iterator[Any]:
    """The page at a width, in light, in dark or as it is printed, with all its plots drawn."""
    context = browser.new_context(
        viewport={"width": width, "height": {390: 844, 1366: 768}.get(width, 900)},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    try:
        page = context.new_page()
        page.goto(path.as_uri())
        if scheme == "print":
            page.emulate_media(media="print")
        wait_for_plots(page)
        yield page
    finally:
        context.close()


def wait_for_plots(page: Any, *, limit_ms: int = 30_000) -> None:
    """Until every plot that has a place is drawn; a page's policy forbids `wait_for_function`."""
    for _ in range(0, limit_ms, 100):
        page.wait_for_timeout(100)
        if page.evaluate(_DRAWN):
            return
    raise TimeoutError("a plot is not drawn")


def picture(page: Any, tools: Any) -> str:
    """What a page looks like, as a small WebP in a data URL; ``tools`` is a page that may load one."""
    height = min(_TALLEST, page.evaluate("document.documentElement.scrollHeight"))
    width = page.viewport_size["width"]
    taken = page.screenshot(
        full_page=True, clip={"x": 0, "y": 0, "width": width, "height": height}, animations="disabled"
    )
    return str(tools.evaluate(_SMALL, [_url(taken, "png"), _SCALE]))


def apart(tools: Any, one: str, two: str) -> dict[str, Any]:
    """How far two pictures are from one another."""
    found: dict[str, Any] = tools.evaluate(_APART, [one, two])
    return found


def stored(name: str, width: int, scheme: str) -> Path:
    """The file of a picture."""
    return PICTURES / f"{name}-{width}-{scheme}.webp"


def url(path: Path) -> str:
    """A picture as a page takes it."""
    return _url(path.read_bytes(), "webp")


def _url(content: bytes, kind: str) -> str:
    from base64 import b64encode

    return f"data:image/{kind};base64,{b64encode(content).decode()}"


def made_with(browser: Any) -> str:
    """Chromium's major version and how wide its font is here."""
    page = browser.new_page()
    page.set_content("<span style='font: 100px system-ui'>gradparity 0123456789 ✗✓</span>")
    width = page.evaluate("document.querySelector('span').getBoundingClientRect().width")
    page.close()
    return f"Chromium {browser.version.partition('.')[0]}, text {width:.0f} px"


def written(folder: Path) -> dict[str, Path]:
    """Every page as a file."""
    found = {name: folder / f"{name}.html" for name in pages()}
    for name, result in pages().items():
        found[name].write_text(document(result), encoding="utf-8")
    return found


def widths(name: str, scheme: str) -> tuple[int, ...]:
    """Those at which a page is compared: paper has one, and three hundred plots on paper take a minute."""
    if scheme == "print":
        return () if name == "forty" else WIDTHS[1:2]
    return WIDTHS


def _main() -> None:
    from base64 import b64decode
    from tempfile import TemporaryDirectory

    from playwright.sync_api import sync_playwright

    PICTURES.mkdir(exist_ok=True)
    with TemporaryDirectory() as folder, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=FLAGS)
        tools = browser.new_page()
        for name, path in written(Path(folder)).items():
            for scheme in SCHEMES:
                for width in widths(name, scheme):
                    with opened(browser, path, width, scheme) as page:
                        taken = picture(page, tools)
                    stored(name, width, scheme).write_bytes(b64decode(taken.partition(",")[2]))
        MADE_WITH.write_text(made_with(browser) + "\n", encoding="utf-8")
        browser.close()


if __name__ == "__main__":
    _main()
