#!/usr/bin/env python3
"""Looks at the page of naru serve longer than its test does.

    python3 tools/check_page.py [--binary build/release/naru] [--only shots,axe,frames,cost,long,shifts,memory,killed]
                                 [--out FOLDER] [--runs FOLDER]

    shots    screenshots at 1280 and 400 pixels, light and dark, in English, Korean and Chinese, into --out, to be looked at
    axe      accessibility of every part in each language and theme, by axe-core: no violation. Its script comes with
             --axe FILE, or out of `pip install -r tools/requirements-page.txt`
    frames   an answer of 200 tokens a second: no frame over 50 ms, in a long conversation too
    cost     what a token costs the page's thread, in its own time: no more late in a conversation, or late in an answer
             of 10,000 lines, than early. Other programs on the machine do not change it
    long     an answer of 10,000 lines (text, code, a list, tables, formulas): no frame over 50 ms while it comes, when it is
             opened again, and when it is left
    shifts   while the page opens and while an answer grows nothing that is there moves (layout shifts, as the browser counts
             them)
    memory   100 conversations, opened and answered: the heap and the elements do not grow
    killed   a server that is killed in the middle of an answer, and started again: the answer goes on to the end that it
             has alone

A frame is a task of the page's thread, all that keeps the browser from drawing in one piece, and its time is that thread's own:
other programs on the machine do not lengthen it. Beside it stands what a clock says, which they do. A Chromium must be
installed; Python's standard library is enough but for axe. The exit status is 0 where all that was tried is as it should be.
"""

import argparse
import importlib.util
import itertools
import json
import pathlib
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests/page"), str(ROOT / "tests/server")]

import panel_tests  # noqa: E402
import steps  # noqa: E402
from frame_trace import FrameTrace  # noqa: E402
from browser import Browser, find_browser  # noqa: E402
from server_rig import Server  # noqa: E402
from stub import Stub, at_rate  # noqa: E402

FRAME_MS_MAX = 50
SHIFT_MAX = 0.01
GROWTH_MAX = 1.10
COST_GROWTH_MAX = 1.5
LANGUAGES = (("en", "en-US"), ("ko", "ko-KR"), ("zh", "zh-CN"))

PROSE = """## Why the sky is blue

Sunlight is scattered by molecules that are much smaller than its wavelength $\\lambda$. How much goes as

$$I \\propto \\frac{1}{\\lambda^4}\\left(1 + \\cos^2\\theta\\right)$$

so that **blue** light ($450\\,\\text{nm}$) is scattered about $4.4$ times as much as red ($650\\,\\text{nm}$).

| colour | wavelength | scattered |
|---|--:|--:|
| violet | 400 nm | 6.97 |
| blue | 450 nm | 4.35 |
| red | 650 nm | 1.00 |

1. Light comes in from the sun.
2. Blue is *scattered* out of the beam, in all directions.
   - at noon from everywhere,
   - at dusk the beam itself is what is left: red.

```python
def scattered(wavelength, reference=650e-9):
    \"\"\"Relative to red light.\"\"\"
    return (reference / wavelength) ** 4  # Rayleigh

for name, nm in [("blue", 450), ("red", 650)]:
    print(f"{name}: {scattered(nm * 1e-9):.2f}")
```

> Violet is scattered even more, but there is less of it, and eyes see it worse.

See [Rayleigh scattering](https://en.wikipedia.org/wiki/Rayleigh_scattering).
"""
KOREAN = "하늘이 파란 까닭은 **레일리 산란** 때문입니다. 파장이 짧은 빛이 더 많이 흩어집니다.\n\n"
CHINESE = "天空呈蓝色是因为**瑞利散射**：波长越短的光散射得越多。\n\n"

# What the browser counts as shifts since it was run, with what has moved.
WATCH = """window.shifts_ = [];
const rect_ = r => [r.x, r.y, r.width, r.height].map(Math.round).join(',');
new PerformanceObserver(l => l.getEntries().forEach(e => window.shifts_.push([e.value, e.sources.slice(0, 3).map(s =>
    `${s.node?.nodeName} ${(s.node?.className || s.node?.parentElement?.className) ?? ''} ${rect_(s.previousRect)} -> ${rect_(s.currentRect)}`)])))
    .observe({type: 'layout-shift'});"""


class Failed(Exception):
    pass


def expect(is_so, what):
    if not is_so:
        raise Failed(what)


def thinks_and_says(text):
    def script(say, body):
        at_rate(say, "The question is about **scattering**. Let me recall how it goes with the wavelength. " * 3, 400, field="reasoning")
        at_rate(say, text, 2000)
    return script


def scripts_of():
    scripts = {"Why is the sky blue?": thinks_and_says(PROSE), "하늘은 왜 파란가요?": thinks_and_says(KOREAN + PROSE),
               "天空为什么是蓝色的？": thinks_and_says(CHINESE + PROSE)}
    return scripts


def shots(args, browser, server, stub):
    """Every part, in every language and theme and at both widths."""
    out = pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    questions = {"en": "Why is the sky blue?", "ko": "하늘은 왜 파란가요?", "zh": "天空为什么是蓝色的？"}
    n = 0
    for language, locale in LANGUAGES:
        for dark in (False, True):
            for width, height in ((1280, 900), (400, 800)):
                with browser.tab(width=width, height=height, dark=dark, language=locale) as tab:
                    name = f"{language}-{'dark' if dark else 'light'}-{width}"

                    def shot(part):
                        time.sleep(0.25)
                        tab.screenshot(out / f"{name}-{part}.png")

                    tab.open(stub.url)
                    shot("empty")
                    tab.say(questions[language])
                    tab.wait_for_answer()
                    tab.wait("document.querySelectorAll('.tex.drawn').length > 2")
                    shot("chat-end")
                    tab.js("document.querySelector('#scroller').scrollTop = 0")
                    shot("chat")
                    tab.js("document.querySelector('#settings-open').click()")
                    shot("settings")
                    tab.js("document.querySelector('#settings-open').click()")
                    tab.js("document.querySelector('#menu').click()")
                    shot("list")
                    tab.js("document.querySelector('#menu').click()")
                    tab.press("?", alt=False)
                    tab.js("document.querySelector('#help').click()")
                    shot("help")
                    tab.js("document.querySelector('dialog[open]')?.close()")
                    tab.open(steps.url_of(server) + "#server")
                    tests_wait = "document.querySelectorAll('#server .tiles dd').length > 4"
                    tab.wait(tests_wait)
                    server.ask("POST", "/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}], "max_tokens": 50})
                    time.sleep(2.2)
                    shot("server")
                    tab.open(steps.url_of(server))
                    tab.js("location.hash = '#runs'")
                    tab.wait("document.querySelector('#runs .plot')")
                    time.sleep(0.5)
                    shot("runs")
                    tab.js("location.hash = ''")
                    steps.settings(tab, max_tokens=30, temperature=1)
                    tab.say("Prove it")
                    steps.prove(tab)
                    shot("proof")
                    n += 1
    print(f"shots: {n} of each part in {out}")


def find_axe(args):
    if args.axe:
        return pathlib.Path(args.axe).read_text()
    spec = importlib.util.find_spec("axe_playwright_python")
    if spec is None:
        raise Failed("axe-core is not there; pip install -r tools/requirements-page.txt, or give --axe FILE")
    return next(pathlib.Path(spec.origin).parent.rglob("axe.min.js")).read_text()


def axe(args, browser, server, stub):
    source = find_axe(args)
    problems = []
    for (language, locale), dark, width in itertools.product(LANGUAGES, (False, True), (1280, 400)):
        with browser.tab(width=width, height=800, dark=dark, language=locale) as tab:
            # axe itself makes markup, which the policy of trusted types is there to stop.
            tab.ask("Page.setBypassCSP", {"enabled": True})

            def look(part):
                if not tab.js("Boolean(window.axe)"):
                    tab.ask("Runtime.evaluate", {"expression": source})
                found = tab.js("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})"
                               ".then(r => r.violations.map(v => [v.id, v.impact, v.nodes.slice(0, 3).map(n => n.html.slice(0, 160) + ' :: ' + (n.any[0]?.message ?? '').slice(0, 140))]))", 120)
                problems.extend((f"{part} {language} {width} {'dark' if dark else 'light'}", *each) for each in found)

            tab.open(stub.url)
            look("empty")
            tab.say("Why is the sky blue?")
            tab.wait_for_answer()
            tab.wait("document.querySelectorAll('.tex.drawn').length > 2")
            look("chat")
            tab.js("document.querySelector('#settings-open').click()")
            look("settings")
            tab.js("document.querySelector('#settings-open').click(); document.querySelector('#menu').click()")
            look("list")
            tab.js("document.querySelector('#help').click()")
            look("help")
            tab.open(steps.url_of(server))
            for name, is_there in (("server", "#server .tiles dd"), ("runs", "#runs .plot")):
                tab.js(f"location.hash = '#{name}'")
                tab.wait(f"document.querySelector('{is_there}')")
                look(name)
            tab.js("document.querySelectorAll('#runs details').forEach(each => (each.open = true))")
            tab.wait("document.querySelector('#runs details .plot')")
            look("runs unfolded")
            tab.js("location.hash = ''")
            steps.settings(tab, max_tokens=20, temperature=1)
            tab.say("Prove it")
            steps.prove(tab)
            look("proof")
    for problem in problems:
        print(problem)
    print(f"axe: {len(problems)} violations")
    expect(not problems, f"{len(problems)} violations")


def shifted(tab):
    """How much has moved since it was asked last."""
    shifts = tab.js("window.shifts_.splice(0)")
    for value, moved in shifts:
        if value > SHIFT_MAX / 5:
            print(f"  a shift of {value:.4f}: {moved}")
    return sum(value for value, _ in shifts)


def expect_short(args, trace, what):
    """No frame that took too long."""
    slow = [task for task in trace.tasks if task[0] > FRAME_MS_MAX]
    expect(trace.tasks, f"{what}: no frame was traced")
    own, clock, parts = trace.longest()
    print(f"{what}: longest frame {own:.0f} ms of {len(trace.tasks)}, {clock} ms by the clock ({parts})", flush=True)
    expect(len(slow) <= args.slow_frames, f"{what}: {len(slow)} frames over {FRAME_MS_MAX} ms, the longest {own:.0f} ms")


def frames(args, browser, server, stub):
    stub.scripts["stream"] = lambda say, body: at_rate(say, PROSE * 6, 200)
    with browser.tab() as tab:
        tab.open(stub.url)
        for turn in range(4):
            time.sleep(1)
            with FrameTrace(tab) as trace:
                tab.say("stream")
                tab.wait_for_answer(120)
            expect_short(args, trace, f"frames: answer {turn + 1}, {len(PROSE * 6) // 4} tokens at 200/s ({tab.text('#speed')})")


PARTS = ("ScriptDuration", "RecalcStyleDuration", "LayoutDuration", "TaskDuration", "LayoutCount")


def spent(tab):
    """Seconds that the page's thread has been at work, in parts, and how often it has laid out."""
    found = {metric["name"]: metric["value"] for metric in tab.ask("Performance.getMetrics")["metrics"]}
    return [found[name] for name in PARTS]


class Cost:
    """Of n tokens. A busy machine draws less often, and more at a time: per token and per drawing are looked at."""

    def __init__(self, before, after, n):
        ms = [1000 * (b - a) for a, b in zip(before, after)]
        draws = max(1, after[4] - before[4])
        self.token, self.draw = ms[3] / n, ms[3] / draws
        self.text = (f"{self.token:.3f} ms a token (script {ms[0] / n:.3f}, style {ms[1] / n:.3f}, layout {ms[2] / n:.3f}), "
                     f"{self.draw:.2f} a drawing of {n / draws:.1f}")

    def expect_like(self, early, what):
        growth = min(self.token / early.token, self.draw / early.draw)
        expect(growth <= COST_GROWTH_MAX, f"{what}: late costs {growth:.2f} times what early does, at most {COST_GROWTH_MAX} was wanted")


def cost(args, browser, server, stub):
    n_answers, n_tenths = 10, 10
    stub.scripts["stream"] = lambda say, body: at_rate(say, PROSE * 2, 200)
    with browser.tab() as tab:
        tab.ask("Performance.enable", {"timeDomain": "threadTicks"})
        tab.open(stub.url)
        each = []
        for turn in range(n_answers):
            before = spent(tab)
            tab.say("stream")
            tab.wait_for_answer(120)
            each.append(Cost(before, spent(tab), len(PROSE * 2) // 4))
            print(f"cost: answer {turn + 1} of a conversation, 200 tokens/s: {each[-1].text}")
        each[-1].expect_like(each[1], "a conversation")  # in the first one KaTeX is fetched
    for name, text in long_texts().items():
        with browser.tab() as tab:
            tab.ask("Performance.enable", {"timeDomain": "threadTicks"})
            marks = []
            pieces = [text[i:i + 40] for i in range(0, len(text), 40)]

            def script(say, body):
                for k in range(n_tenths):
                    tenth = pieces[len(pieces) * k // n_tenths:len(pieces) * (k + 1) // n_tenths]
                    at_rate(say, "".join(tenth), 500, size=40)
                    time.sleep(0.5)  # until it is drawn
                    marks.append(spent(tab))

            stub.scripts["long"] = script
            tab.open(stub.url)
            tab.say("long")
            tab.wait_for_answer(240)
            each = [Cost(marks[k], marks[k + 1], len(pieces) / n_tenths) for k in range(n_tenths - 1)]
            for k, one in enumerate(each):
                print(f"cost: {name}, {text.count(chr(10))} lines in pieces of 40 characters, tenth {k + 2}: {one.text}")
            each[-1].expect_like(each[0], name)


def long_texts():
    row = "| {0} | **{0}** of many | `c {0}` |\n"
    head = "| number | name | code |\n|--:|---|---|\n"
    return {"prose": "".join(f"Line {i} of **many**, with `code` and a [link](https://example.org).\n\n" for i in range(5000)),
            "code": "```cpp\n" + "".join(f"int value_{i} = {i};  // the {i}th\n" for i in range(10000)) + "```\n",
            "list": "".join(f"{i}. item **{i}**\n" for i in range(10000)),
            "table": head + "".join(row.format(i) for i in range(10000)),
            "formulas": "".join(f"The sum is $\\frac{{{i}}}{{n^2 + 1}}$ here.\n\n" if i % 10 else
                                f"$$\\sum_{{k=0}}^{{{i}}} k = \\frac{{n(n+1)}}{{2}}$$\n\n" for i in range(5000))}


def long(args, browser, server, stub):
    for name, text in long_texts().items():
        stub.scripts[name] = lambda say, body, text=text: at_rate(say, text, 500, size=40)
        title = f"long: {name}, {text.count(chr(10))} lines"
        with browser.tab() as tab:
            tab.open(stub.url)
            time.sleep(1)
            with FrameTrace(tab) as trace:
                tab.say(name)
                tab.wait_for_answer(600)
            expect_short(args, trace, title)
            with browser.tab(context=tab.context) as again:
                with FrameTrace(again) as trace:
                    again.open(stub.url)
                    again.wait("document.querySelector('.message.assistant .foot .actions')")
                    again.wait("document.querySelector('#log').getAttribute('aria-busy') === 'false'", 600)
                expect_short(args, trace, f"{title}, opened again")
                expect(again.js(AT_END), f"{title}, opened again: it does not stand at its end")
                with FrameTrace(again) as trace:
                    again.js(SCROLL_THROUGH)
                expect_short(args, trace, f"{title}, scrolled through")
                with FrameTrace(again) as trace:
                    again.press("n", alt=True)
                    again.wait("!document.querySelector('.leaves')", 60)
                expect_short(args, trace, f"{title}, left")


AT_END = "(s => s.scrollHeight - s.scrollTop - s.clientHeight < 48)(document.querySelector('#scroller'))"
SCROLL_THROUGH = """new Promise(done => { const s = document.querySelector('#scroller'); let n = 0; const step = () => {
    s.scrollTop = s.scrollHeight * (n % 20) / 20; ++n < 60 ? requestAnimationFrame(step) : done(); }; step(); })"""


def shifts(args, browser, server, stub):
    stub.scripts["stream"] = lambda say, body: at_rate(say, PROSE * 3, 500)
    for (language, locale), width in itertools.product(LANGUAGES, (1280, 400)):
        for kind, url in (("a server", steps.url_of(server)), ("another", stub.url)):
            with browser.tab(scripts=[WATCH], width=width, language=locale) as tab:
                tab.open(url)
                time.sleep(1)
                shift = shifted(tab)
                print(f"shifts: {width} pixels, {language}, the page of {kind} opens: {shift:.4f}")
                expect(shift == 0, f"a shift of {shift:.4f}, none was wanted")
    for width in (1280, 400):
        with browser.tab(scripts=[WATCH], width=width) as tab:
            tab.open(stub.url)
            tab.say("stream")
            tab.wait_for_answer(120)
            shifted(tab)
            for turn in range(3):
                tab.say("stream")
                tab.wait("document.querySelector('.stops')")
                if turn == 2:  # the reader has gone up
                    tab.js("document.querySelector('#scroller').scrollTop -= 600")
                tab.wait_for_answer(120)
                shift = shifted(tab)
                print(f"shifts: {width} pixels, answer {turn + 2}: {shift:.4f}")
                expect(shift <= SHIFT_MAX, f"a shift of {shift:.4f}, at most {SHIFT_MAX} was wanted")


TWO_FRAMES = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 200))))"


def memory(args, browser, server, stub):
    stub.scripts["stream"] = lambda say, body: at_rate(say, PROSE, 4000)
    with browser.tab() as tab:
        tab.open(stub.url)
        sizes = []
        for i in range(100):
            tab.press("n", alt=True)
            tab.say("stream")
            tab.wait_for_answer()
            if i % 10 == 9:
                tab.press("n", alt=True)
                tab.js(TWO_FRAMES)  # until then the browser holds what it has drawn
                sizes.append(tab.memory())
                print(f"memory: after {i + 1} conversations {sizes[-1][0] / 2**20:.2f} MiB of heap, {sizes[-1][1]} nodes", flush=True)
        # The list has a row for each; all else must stay.
        rows = tab.js("document.querySelectorAll('.list *').length")
        first, last = sizes[1], sizes[-1]
        print(f"memory: the list of 100 has {rows} elements")
        expect(last[0] <= GROWTH_MAX * first[0], f"the heap grew from {first[0]} to {last[0]} bytes")
        expect(last[1] - first[1] <= 2 * rows, f"nodes grew from {first[1]} to {last[1]}")


def killed(args, browser, server, stub):
    question, settings = "tell me", {"max_tokens": 1900, "temperature": 1, "seed": 3}
    flags = ["--chip", "reference", "--context", "2048", "--no-runs"]
    first = Server(args.binary, *flags)
    with browser.tab() as tab:
        tab.open(steps.url_of(first))
        steps.settings(tab, **settings)
        tab.say(question)
        tab.wait("document.querySelector('.message.assistant .text')?.innerText.length > 3")
        first.process.kill()
        first.end()
        tab.wait("document.querySelector('.notice')?.innerText.includes('gone away')")
        with Server(args.binary, *flags, "--port", str(first.address[1])) as second:
            tab.wait_for_answer(60)
            [text] = tab.js(steps.KEPT)
            wanted = second.ask("POST", "/v1/chat/completions", {"messages": [{"role": "user", "content": question}], **settings})
            expect(text == wanted.json()["choices"][0]["message"]["content"], "the answer that went on is another one")
            print(f"killed: a server was killed in an answer of {len(text)} characters; the next one went on with it, to the same end")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "build/release/naru"))
    parser.add_argument("--only", default="shots,axe,frames,cost,long,shifts,memory,killed", metavar="NAMES")
    parser.add_argument("--out", default=str(ROOT / "build/page"), metavar="FOLDER", help="of the screenshots; default build/page")
    parser.add_argument("--runs", metavar="FOLDER", help="of training runs that are shown; default: some that are made up")
    parser.add_argument("--axe", metavar="FILE", help="axe.min.js")
    parser.add_argument("--slow-frames", type=int, default=0, metavar="N", help="that are let pass; default 0")
    args = parser.parse_args()
    if find_browser() is None:
        sys.exit("looking for a browser: no Chromium is installed; ./scripts/setup installs one on Debian")
    checks = {"shots": shots, "axe": axe, "frames": frames, "cost": cost, "long": long, "shifts": shifts, "memory": memory,
              "killed": killed}
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        panel_tests.write_run(folder, "pretrain-tiny", 40, "done")
        panel_tests.write_pipeline(folder, "r1-minute", [("base", "sft"), ("sft", "sft"), ("rl", "grpo")])
        panel_tests.write_run(folder, "r1-minute/base", 100, "done")
        panel_tests.write_run(folder, "r1-minute/sft", 60)
        with Server(args.binary, "--runs", args.runs or str(folder), "--parallel", "4") as server, Stub(server.address, scripts_of()) as stub, \
                Browser() as browser:
            for name in args.only.split(","):
                try:
                    checks[name](args, browser, server, stub)
                except Failed as problem:
                    failed.append(name)
                    print(f"{name}: FAILED: {problem}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
