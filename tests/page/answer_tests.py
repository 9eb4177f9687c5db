"""How an answer is shown, with a server that answers by scripts."""

import re

from server_rig import Server
from steps import quiet
from stub import Stub, at_rate


def test_arithmetic_is_no_emphasis(browser, binary):
    sums = "3*2=6\n24*3=72\n(1+2)*4=12, 2*(3*(4)), 2*x*y, 2**3**2"
    answer = f"{sums}\n\n**bold** and *word*, **2*3=6**, **24**(a note), in*si*de"

    def script(say, body):
        say(reasoning=sums)
        say(content=answer)

    with Server(binary) as server, Stub(server.address, {"sum": script}) as stub, browser.tab() as tab:
        tab.open(stub.url)
        tab.say("sum")
        tab.wait_for_answer()
        tab.js("document.querySelector('.reasoning summary').click()")
        tab.wait("document.querySelector('.reasoning-text p')")
        assert tab.js("document.querySelector('.reasoning-text').innerText") == sums
        assert tab.js("document.querySelector('.text p').textContent") == sums
        found = tab.js("[...document.querySelectorAll('.text strong, .text em')].map(e => e.textContent)")
        assert found == ["bold", "word", "2*3=6", "24", "si"], found
        quiet(tab)


def test_full_context_and_empty_answer(browser, binary):
    scripts = {"full": lambda say, body: say(content="Cut") or "length", "empty": lambda say, body: say(content=" ") or "stop"}
    with Server(binary) as server, Stub(server.address, scripts) as stub, browser.tab() as tab:
        stub.facts["context_length"] = 101  # of the stub's usage: 100 of the prompt, 1 of the answer
        tab.open(stub.url)
        tab.say("full")
        tab.wait_for_answer()
        tab.wait("document.querySelector('.notice')?.innerText.includes('--context')")
        assert "Continue" not in tab.text(".message.assistant .foot"), tab.text(".message.assistant .foot")
        # After a reload too; and a server with a longer one goes on.
        tab.open(stub.url)
        tab.wait("document.querySelector('.notice')?.innerText.includes('--context')")
        stub.facts["context_length"] = 4096
        tab.open(stub.url)
        tab.wait("document.querySelector('.message.assistant .foot')?.innerText.includes('Continue')")
        tab.press("n", alt=True)
        tab.say("empty")
        tab.wait("document.querySelector('.notice:not([hidden])')?.innerText === '(empty answer)'")
        quiet(tab)


def test_a_long_answer_that_is_left(browser, binary):
    lines = "".join(f"[Line {i}](https://example.org/{i}) of many.\n\n" for i in range(3000))

    def say_all(say, body):
        for i in range(0, len(lines), 2000):
            say(content=lines[i:i + 2000])

    with Server(binary) as server, Stub(server.address, {"long": say_all}) as stub, browser.tab() as tab:
        tab.open(stub.url)
        tab.say("long")
        tab.wait_for_answer(60)
        # Gone at once for the eye, the keyboard and whoever listens; in pieces out of the page.
        found = tab.js("""(() => {
            const link = document.querySelector('.text a');
            document.querySelector('#new').click();
            const leaves = document.querySelector('.leaves');
            link.focus();
            return [leaves?.querySelectorAll('a').length ?? 0, leaves?.checkVisibility({visibilityProperty: true}) && link.checkVisibility(),
                    document.activeElement === link, document.querySelectorAll('.message:not(.leaves)').length,
                    document.querySelector('#scroller').scrollHeight <= document.querySelector('#scroller').clientHeight];
        })()""")
        assert found == [3000, False, False, 0, True], found
        tab.wait("!document.querySelector('.leaves')")
        assert tab.js("document.querySelectorAll('#log a').length") == 0
        tab.js("document.querySelector('.list .open').click()")
        tab.wait("document.querySelectorAll('.text a').length === 3000", 60)
        # One that is opened again while it still leaves is whole.
        tab.js("document.querySelector('#new').click(); document.querySelector('.list .open').click()")
        tab.wait("!document.querySelector('.leaves') && document.querySelectorAll('.text a').length === 3000", 60)
        assert tab.js("document.querySelector('.text').textContent.includes('Line 2999 of many')")
        quiet(tab)


def test_an_answer_cut_behind_its_reasoning(browser, binary):
    def script(say, body):
        last = body["messages"][-1]
        if last["role"] == "assistant":
            say(content="It is 4.")
            return "stop"
        say(reasoning="I ")
        say(reasoning="see.")
        if last["content"] == "behind":
            say(content="")  # so the server says that reasoning has ended
        return "length"

    scripts = {"inside": script, "behind": script, "(prefix)": script}
    with Server(binary) as server, Stub(server.address, scripts) as stub, browser.tab() as tab:
        for question, wanted in (("inside", {"content": "", "reasoning_content": "I see."}), ("behind", {"content": "<think>I see.</think>"})):
            tab.open(stub.url)
            tab.press("n", alt=True)
            tab.say(question)
            tab.wait_for_answer()
            tab.open(stub.url)  # what is kept says it too
            tab.wait("[...document.querySelectorAll('.foot button')].some(e => e.innerText === 'Continue')")
            tab.js("[...document.querySelectorAll('.foot button')].find(e => e.innerText === 'Continue').click()")
            assert tab.wait_for_answer() == "It is 4."
            assert stub.bodies[-1]["messages"][-1] == {"role": "assistant", "prefix": True, **wanted}, stub.bodies[-1]
        quiet(tab)


def test_formulas_out_of_sight_are_their_source(browser, binary):
    formulas = "".join(f"The sum is $\\frac{{{i}}}{{n^2 + 1}}$ here.\n\n" if i % 3 else f"$$\\sum_{{k=0}}^{{{i}}} k$$\n\n" for i in range(250))
    seen = """(() => {
        const seen = [...document.querySelectorAll('.tex')].filter(e => { const {top, bottom} = e.getBoundingClientRect();
            return bottom > 0 && top < innerHeight && bottom > top; });
        const {scrollHeight} = document.querySelector('#scroller');
        return [seen.length > 3 && seen.every(e => e.querySelector('.katex')), document.querySelectorAll('.katex-html').length < 200,
                scrollHeight];
    })()"""
    with Server(binary) as server, Stub(server.address, {"sums": lambda say, body: say(content=formulas)}) as stub, browser.tab() as tab:
        tab.open(stub.url)
        tab.say("sums")
        tab.wait_for_answer()
        tab.wait(f"{seen}[0] && {seen}[1]")
        height = tab.js(seen)[2]
        # Nothing moves when they come near again, and their source can be found and copied.
        for share in (0.5, 0, 0.8, 1):
            heights = tab.js("""new Promise(done => {
                const s = document.querySelector('#scroller'), heights = new Set();
                s.scrollTop = SHARE * s.scrollHeight;
                const look = n => (heights.add(s.scrollHeight), n > 0 ? requestAnimationFrame(() => look(n - 1)) : done([...heights]));
                look(10);
            })""".replace("SHARE", str(share)))
            tab.wait(f"{seen}[0] && {seen}[1]")
            assert heights == [height] and tab.js(seen)[2] == height, (share, heights, tab.js(seen), height)
        assert tab.js("document.querySelector('.tex').textContent") == "$$\\sum_{k=0}^{0} k$$"
        quiet(tab)


# A table whose rows cannot be made, as where they are nested too deeply: what is left stays as it is written, in order.
BROKEN_TABLE = """(async () => {
    const {StreamView} = await import('/page/stream_view.js');
    const results = [];
    for (const fails of [0, 1]) { // its first rows, and later ones
        const root = document.createElement('div');
        document.body.append(root);
        const view = new StreamView(root);
        const {parser} = marked;
        let n = 0;
        marked.parser = (...all) => { if (n++ === fails) throw new RangeError('too deep'); return parser(...all); };
        view.append('| n |\\n|---|\\n' + Array.from({length: 90}, (_, i) => `| row ${i} of many that make it long enough |\\n`).join(''));
        view.finish();
        try {
            while (!view.step()) { }
            const texts = root.textContent.match(/row \\d+/g).map(text => Number(text.slice(4)));
            results.push(texts.length === 90 && texts.every((row, i) => row === i) && root.querySelector('.plain') !== null);
        } catch (problem) { results.push(String(problem)); }
        marked.parser = parser;
        root.remove();
    }
    return results;
})()"""


def test_rows_that_cannot_be_made(browser, binary):
    with Server(binary) as server, Stub(server.address, {}) as stub, browser.tab() as tab:
        tab.open(stub.url)
        found = tab.js(BROKEN_TABLE)
        assert found == [True, True], found
        quiet(tab)


def test_a_table_that_grows_is_one(browser, binary):
    rows = [f"| {i} | `c{i}` |\n" for i in range(150)]
    text = "| n | code |\n|--:|---|\n" + "".join(rows) + "\nBehind it: | no | row |\n\n| m |\n|---|\n| 1 |\n"

    # At a rate at which it is drawn many times while it grows, and at once.
    scripts = {str(size): lambda say, body, size=size: at_rate(say, text, 1500 / size, size) for size in (3, 25, len(text))}
    with Server(binary) as server, Stub(server.address, scripts) as stub, browser.tab() as tab:
        tab.open(stub.url)
        for name in scripts:
            tab.press("n", alt=True)
            tab.say(name)
            tab.wait_for_answer(60)
            found = tab.js("[...document.querySelectorAll('.message.assistant table')].map(t => [...t.rows].map(r => r.innerText.trim()).join(';'))")
            assert found == ["n\tcode;" + ";".join(f"{i}\tc{i}" for i in range(150)), "m;1"], (name, found)
            assert tab.js("getComputedStyle(document.querySelectorAll('.message.assistant td')[200]).textAlign") == "right"
            assert "Behind it: | no | row |" in tab.text(".message.assistant .text"), name
        quiet(tab)


def test_a_table_of_long_rows_keeps_its_order(browser, binary):
    head = "| n | words |\n|--:|---|\n"
    texts = {"long": head + "".join(f"| r{i}x | {'ab ' * 300}|\n" for i in range(30)),
             "mixed": head + "".join(f"| r{i}x | {'ab ' * (300 if 16 <= i < 30 else 2)}|\n" for i in range(40))}
    scripts = {f"{name} {size}": lambda say, body, name=name, size=size: at_rate(say, texts[name], 200, size)
               for name in texts for size in (900, len(texts[name]))}
    with Server(binary) as server, Stub(server.address, scripts) as stub, browser.tab() as tab:
        tab.open(stub.url)
        for name in scripts:
            tab.press("n", alt=True)
            tab.say(name)
            tab.wait_for_answer(60)
            rows = re.findall(r"r(\d+)x", tab.text(".message.assistant .text"))
            assert rows == [str(i) for i in range(30 if name.startswith("long") else 40)], (name, rows)
            cells = tab.js("document.querySelectorAll('.message.assistant tbody tr').length")
            assert cells == len(rows), (name, cells)
        quiet(tab)
